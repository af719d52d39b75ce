"""What is published: the small files of a report's stage, and nothing of an earlier one."""

from helpers.stage_folders import Folders

from eefcore.reports.document.publication import publish

FILES = (
    "report.md",
    "tables/methods.csv",
    "figures/curve.png",
    "figures/curve.csv",
    "figures/curve.svg",
)


def test_small_files_are_copied_and_old_ones_go(tmp_path, monkeypatch):
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    stage = Folders(tmp_path).stage("report")  # with a record, which is not copied
    for name in FILES:
        (stage / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).write_text(name)
    out = tmp_path / "results" / "published" / "mini"
    (out / "tables").mkdir(parents=True)
    (out / "tables" / "old.csv").write_text("")
    (out / "note.md").write_text("ours")
    assert publish("mini", stage) == out
    assert {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} == {*FILES[:4], "note.md"}
    assert (out / "tables/methods.csv").read_text() == "tables/methods.csv"
