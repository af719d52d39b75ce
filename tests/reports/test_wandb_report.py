"""A report as a W&B Report: its spec is made offline, makes the round trip, and is published as the same one."""

import json
from types import SimpleNamespace

import pytest
from helpers.documents import whole

from eefcore.errors import StoreError, TrackingError
from eefcore.reports.document import blocks as document
from eefcore.reports.document import wandb_report
from eefcore.reports.document.blocks import Document, Section
from eefcore.reports.document.cells import Column, Table, words


@pytest.fixture
def path(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    return tmp_path / "report.wandb.json"


def spec(path, content=None):
    wandb_report.write(path, content or whole(), "mini", ["mini/seed0", "mini/seed1"])
    return json.loads(path.read_text())


def blocks(made, kind):
    return [b for b in made["spec"]["blocks"] if b["type"] == kind]


def test_the_spec_makes_the_round_trip(path):
    spec(path)
    assert wandb_report._spec(wandb_report._loaded(path)) == path.read_bytes()


def test_equal_reports_are_equal_files(path):
    first = spec(path)
    path.unlink()
    assert spec(path) == first


def test_the_wandb_report_contains_every_kind_of_block(path):
    made = spec(path)
    text = json.dumps(made, ensure_ascii=False)
    for expected in (
        "| Method |\\n| --- |\\n| words |",  # a table
        "«words»b",  # a training row
        "---- here they part ----",  # a case study
        "figures/fig",  # a figure, by the key under which its stage logged it
        "cost/env_steps",
    ):
        assert expected in text, expected
    assert [b["children"][0]["text"] for b in blocks(made, "heading")][:2] == ["Results", "words"]


def test_figures_are_of_the_report_s_own_stage_and_costs_of_all(path):
    grids = [json.dumps(b) for b in blocks(spec(path), "panel-grid")]
    figure, costs, charts = grids
    assert '"mini"' in figure and "10_suite" in figure and "seed0" not in figure
    assert "mini/seed0" in costs and "mini/seed1" in costs
    assert "tables/methods" in charts
    assert "entityName" not in figure  # or W&B would be asked


def test_cost_curves_are_over_the_logged_tables(path):
    table = Table("budget", (Column("Method", words=True),), ((words("RFT"),),))
    assert "tables/budget" not in json.dumps(spec(path))
    path.unlink()
    text = json.dumps(spec(path, Document("t", "h", (), (Section("budget", "Budget", (table,)),))))
    assert "tables/budget" in text and "wandb/lineseries/v0" in text


def test_any_text_can_be_sent(path):
    assert "�" in json.dumps(spec(path, whole("half \ud800 a pair")), ensure_ascii=False).replace("?", "�")


def test_of_a_run_its_report_and_the_seeds_of_a_suite(tmp_path, monkeypatch):
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path))
    with pytest.raises(StoreError, match=r"report\.json"):
        wandb_report.write_for_run("mini")
    for run in ("mini", "mini/seed0", "minimal"):
        (tmp_path / run / "expert-1").mkdir(parents=True)
        (tmp_path / run / "expert-1" / "stage.json").write_text("{}")
    document.write_document(tmp_path / "mini" / document.FILE, whole())
    path = wandb_report.write_for_run("mini")
    assert path == tmp_path / "mini" / wandb_report.FILE
    text = path.read_text()
    assert "mini/seed0" in text and "minimal" not in text


def test_without_a_key_nothing_is_sent(path):
    spec(path)
    with pytest.raises(TrackingError, match=r"not published, there is no W&B key.*then `eef sync` again"):
        wandb_report.publish(path)


@pytest.fixture
def saved(path, monkeypatch):
    """W&B as far as publishing goes: what it was given, each time."""
    interface = wandb_report._library().interface
    given = []

    def save(report):
        given.append((report.id, report.entity, report.project, report.width))
        report.id = report.id or "VmlldzoxMjM="

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(interface, "_get_api", lambda: SimpleNamespace(default_entity="lab"))
    monkeypatch.setattr(interface.Report, "save", save)
    monkeypatch.setattr(
        interface.Report, "url", property(lambda report: f"https://wandb.example/{report.id}")
    )
    return given


def test_a_report_is_published_once_and_then_updated(path, saved):
    before = spec(path)
    assert wandb_report.publish(path) == "https://wandb.example/VmlldzoxMjM="
    kept = json.loads(path.read_text())
    assert kept == {**before, "id": "VmlldzoxMjM="}
    spec(path)  # made anew from newer results
    wandb_report.publish(path)
    assert saved == [("", "lab", "eef", "fluid"), ("VmlldzoxMjM=", "lab", "eef", "fluid")]


def test_a_refusal_of_wandb_is_an_error_and_the_file_stays(path, saved, monkeypatch):
    import wandb

    interface = wandb_report._library().interface

    def refuse(report):
        raise wandb.errors.CommError("no permission")

    monkeypatch.setattr(interface.Report, "save", refuse)
    spec(path)
    before = path.read_bytes()
    with pytest.raises(TrackingError, match=r"did not take the report \(CommError: no permission\)"):
        wandb_report.publish(path)
    assert path.read_bytes() == before
