import json
import os
import resource
import subprocess
import sys
from datetime import UTC, datetime
from errno import ENOSPC

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eefcore.errors import CardMismatch, ParamsError, StoreError
from eefcore.storage import disk, stages
from eefcore.storage.cost import Cost
from eefcore.storage.records import read_records, write_records
from eefcore.storage.stages import StageRecord
from eefcore.types import Card, Example, History, Mistake, State, Step, StopReason, Trajectory

CARD = Card("webshop", {"products": 1000, "catalogue": "ab12", "prices": 0})


def trajectory(task_id="t", reward=1.0, logp=-0.25):
    step = Step("o_0", "click[Buy Now]", (3, 4), (logp, -1.5))
    return Trajectory(history=History(task_id, "o_1", (step,)), reward=reward, n_expert=1, source="gpt")


def kept(path, records=(), kind="trajectories", card=CARD):
    write_records(path, records, kind=kind, card=card)
    return path


# -------------------------------------------------------------------------------- records

texts = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
steps = st.builds(
    lambda o, a, sampled: Step(o, a, tuple(t for t, _ in sampled), tuple(p for _, p in sampled)),
    texts,
    texts,
    st.lists(st.tuples(st.integers(0, 2**31), numbers), max_size=3),
)
trajectories = st.builds(
    lambda task, last, taken, **kw: Trajectory(history=History(task, last, tuple(taken)), **kw),
    texts,
    texts,
    st.lists(steps, max_size=4),
    reward=st.floats(0, 1),
    source=texts,
    stop=st.sampled_from(StopReason),
    sample=st.integers(0, 9),
    temperature=numbers,
    marks=st.lists(st.builds(Mistake, st.integers(0, 9), texts), max_size=2).map(tuple),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(trajectories, max_size=4))
def test_what_is_read_is_what_was_written(tmp_path_factory, records):
    path = kept(tmp_path_factory.mktemp("store") / "τ.jsonl", records)
    header, again = read_records(path, Trajectory, card=CARD)
    assert again == records
    assert (header.eefcore, header.kind, header.records, header.card) == (
        1,
        "trajectories",
        len(records),
        CARD,
    )


def test_a_file_is_a_header_and_a_line_a_record(tmp_path):
    path = kept(tmp_path / "e.jsonl", [Example(trajectory()), Example(trajectory())], kind="examples")
    header, *lines = path.read_text().splitlines()
    assert json.loads(header)["kind"] == "examples" and json.loads(header)["type"] == "Example"
    assert [set(json.loads(line)) for line in lines] == [{"trajectory"}, {"trajectory"}]


def cut(path, text):
    return text[:-9]


def lose_a_line(path, text):
    return "".join(text.splitlines(keepends=True)[:-1])


def double_a_line(path, text):
    return text + text.splitlines(keepends=True)[-1]


def next_schema(path, text):
    return text.replace('"eefcore":1', '"eefcore":2', 1)


def no_header(path, text):
    return "".join(text.splitlines(keepends=True)[1:])


def another_field(path, text):
    return text.replace('"reward":1.0', '"reward":"much"')


def out_of_range(path, text):
    return text.replace('"reward":1.0', '"reward":7.0')


def nothing(path, text):
    return ""


@pytest.mark.parametrize(
    ("harm",          "line", "says"),
    [
        (cut,           3,    "torn: expected 2 whole records, got 1"),
        (lose_a_line,   2,    "torn: expected 2 whole records, got 1"),
        (double_a_line, 4,    "torn: expected 2 whole records, got 3"),
        (next_schema,   1,    "expected schema 1, got 2"),
        (no_header,     1,    "not an eefcore file"),
        (nothing,       1,    "not an eefcore file"),
        (another_field, 2,    "Expected `float`, got `str`"),
        (out_of_range,  2,    r"outside \[0, 1\]"),
    ],
)  # fmt: skip
def test_a_harmed_file_says_where_and_what(tmp_path, harm, line, says):
    path = kept(tmp_path / "τ.jsonl", [trajectory(), trajectory()])
    path.write_text(harm(path, path.read_text()))
    with pytest.raises(StoreError, match=rf"τ\.jsonl:{line}: .*{says}"):
        read_records(path, Trajectory)


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = kept(tmp_path / "e.jsonl", [Example(trajectory())], kind="examples")
    with pytest.raises(StoreError, match=r":1: expected Trajectory records, got Example \('examples'\)"):
        read_records(path, Trajectory)


def test_a_changed_catalogue_is_refused_and_the_change_is_named(tmp_path):
    path = kept(tmp_path / "τ.jsonl", [trajectory()])
    now = Card("webshop", {**CARD.facts, "catalogue": "cd34"})
    with pytest.raises(CardMismatch, match="catalogue: expected 'cd34', got 'ab12'"):
        read_records(path, Trajectory, card=now)
    with pytest.raises(CardMismatch, match="unknown environment"):
        read_records(kept(path, [trajectory()], card=None), Trajectory, card=now)


def test_a_missing_file_says_to_run_its_stage(tmp_path):
    with pytest.raises(StoreError, match="run the stage that writes it first"):
        read_records(tmp_path / "none.jsonl", Trajectory)


@pytest.mark.parametrize("logp", [float("-inf"), float("nan")])
def test_what_could_not_be_read_back_is_not_written(tmp_path, logp):
    path = kept(tmp_path / "τ.jsonl", [trajectory("old")])
    with pytest.raises(StoreError, match=r"τ\.jsonl:3: this Trajectory can't be kept"):
        kept(path, [trajectory(), trajectory(logp=logp)])
    with pytest.raises(StoreError, match="Example, Trajectory in one file"):
        kept(path, [trajectory(), Example(trajectory())])
    assert read_records(path, Trajectory).list == [trajectory("old")]


def test_half_a_character_is_replaced_where_no_file_could_hold_it(tmp_path):
    path = tmp_path / "states.jsonl"
    write_records(path, [State("\ud800")], kind="states", card=None)
    assert read_records(path, State).list == [State("\ufffd")]


@pytest.fixture
def small_disk():
    """No file may grow beyond four kilobytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, small_disk):
    path = kept(tmp_path / "τ.jsonl", [trajectory("old")])
    with pytest.raises(StoreError, match="can't write: File too large; free some space"):
        kept(path, [trajectory()] * 100)
    assert read_records(path, Trajectory).list == [trajectory("old")]
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fills_up_at_the_last_moment(tmp_path, monkeypatch):
    path = kept(tmp_path / "τ.jsonl", [trajectory("old")])

    def full(handle):
        raise OSError(ENOSPC, os.strerror(ENOSPC))

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device; free some space"):
        kept(path, [trajectory()])
    assert read_records(path, Trajectory).list == [trajectory("old")]
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def read_only(tmp_path):
    """A folder that we may not write in, whoever we are."""
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)


def test_an_unwritable_results_folder_says_what_to_do(read_only, monkeypatch):
    monkeypatch.setenv("EEF_RESULTS", str(read_only))
    with pytest.raises(StoreError, match="Permission denied; make the folder writable, or name another"):
        kept(stages.run_folder("r") / "τ.jsonl", [trajectory()])
    with pytest.raises(StoreError, match="Permission denied; make the folder writable, or name another"):
        stages.StageLock(stages.stage_folder("r", "select.1", "ab" * 32))


def test_a_file_where_the_results_should_be(tmp_path, monkeypatch):
    (tmp_path / "results").write_text("")
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    with pytest.raises(StoreError, match="a file stands where a folder should be"):
        kept(stages.run_folder("r") / "τ.jsonl", [trajectory()])


# -------------------------------------------------------------------------------- folders


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path))
    return tmp_path


def stage(label="select.1", identity="ab" * 32, minute=0):
    at = datetime(2026, 1, 1, 0, minute, tzinfo=UTC)
    return StageRecord(
        label=label,
        notebook="03_select",
        params={"M": 1, "what": "é", "levels": [1, 2]},
        inputs={"experts": "cd" * 32},
        identity=identity,
        card=CARD,
        cost=Cost(episodes=3, seconds=1.5),
        metrics={"select/n_initial": 4, "explore/win_rate": 0.5, "explore/none": None, "policy": "tiny"},
        packages={"python": "3.11"},
        seconds=1.5,
        attempts=2,
        started=at,
        finished=at,
    )


def finish(run, record):
    folder = stages.stage_folder(run, record.label, record.identity)
    partial = stages.partial_folder(folder)
    partial.mkdir(parents=True)
    stages.write_record(partial, record)
    assert not stages.is_finished(folder)
    stages.publish(folder)
    assert stages.is_finished(folder) and not partial.exists()
    return folder


def test_a_stage_is_there_when_its_folder_is(root):
    folder = finish("smoke", stage())
    assert folder == root / "smoke" / "select.1-abababab"
    assert stages.read_record(folder) == stage()


def test_the_stages_of_a_run_come_in_the_order_they_finished(root):
    for label, minute in (("select.1", 5), ("expert", 1), ("explore#1", 9)):
        finish("smoke", stage(label, minute=minute))
    finish("other", stage("expert"))
    stages.partial_folder(stages.stage_folder("smoke", "train.1", "ef" * 32)).mkdir()
    assert [r.label for r in stages.finished_stages("smoke")] == ["expert", "select.1", "explore#1"]
    assert stages.finished_stages("never") == []
    assert stages.list_runs() == ["other", "smoke"]


def test_publishing_drops_what_a_killed_write_left(root):
    folder = stages.stage_folder("r", "a", "ab" * 32)
    partial = stages.partial_folder(folder)
    partial.mkdir(parents=True)
    (partial / ".metrics.jsonl.123-0.tmp").write_text("half")
    (partial / "metrics.jsonl").write_text("whole")
    stages.publish(folder)
    assert [p.name for p in folder.iterdir()] == ["metrics.jsonl"]


names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=5)
params = st.dictionaries(
    names, st.one_of(st.integers(-9, 9), st.booleans(), names, numbers, st.none()), max_size=4
)


@settings(deadline=None)
@given(params, st.dictionaries(names, names, max_size=3))
def test_identity_does_not_depend_on_order(given_params, inputs):
    ours = stages.stage_identity("03_select", given_params, inputs)
    assert ours == stages.stage_identity(
        "03_select", dict(reversed(given_params.items())), dict(reversed(inputs.items()))
    )
    assert len(ours) == 64


@pytest.mark.parametrize(
    "other",
    [
        ("04_train", {"M": 1, "version": 1}, {"experts": "a"}),
        ("03_select", {"M": 2, "version": 1}, {"experts": "a"}),
        ("03_select", {"M": True, "version": 1}, {"experts": "a"}),
        ("03_select", {"M": "1", "version": 1}, {"experts": "a"}),
        ("03_select", {"M": 1, "version": 2}, {"experts": "a"}),
        ("03_select", {"M": 1, "version": 1}, {"experts": "b"}),
        ("03_select", {"M": 1, "version": 1}, {"simulations": "a"}),
        ("03_select", {"M": 1, "version": 1, "experts": "a"}, {}),
    ],
)
def test_identity_depends_on_all_else(other):
    assert stages.stage_identity(*other) != stages.stage_identity(
        "03_select", {"M": 1, "version": 1}, {"experts": "a"}
    )


def test_an_input_is_known_by_its_record_or_by_its_files(root):
    assert stages.input_identity(finish("r", stage())) == "ab" * 32
    base = root / "base"
    (base / "sub").mkdir(parents=True)
    (base / "config.json").write_text("{}")
    before = stages.input_identity(base)
    (base / "sub" / "weights").write_bytes(b"\0")
    after = stages.input_identity(base)
    (base / "sub" / "weights").rename(base / "weights")
    assert len({before, after, stages.input_identity(base)}) == 3
    with pytest.raises(StoreError, match="no finished stage and no files; run the stage"):
        stages.input_identity(root / "never")


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "-x", "a\n"])
def test_names_stay_inside_the_results(root, name):
    with pytest.raises(ParamsError, match="does not name a folder"):
        stages.stage_folder("smoke", name, "ab" * 32)


@pytest.mark.parametrize("name", ["", "..", "/", "/etc", "a/../b", "a//b"])
def test_runs_stay_inside_the_results(root, name):
    with pytest.raises(ParamsError, match="does not name a folder"):
        stages.run_folder(name)


def test_the_results_are_beside_the_notebooks_wherever_one_starts(tmp_path, monkeypatch):
    for folder in ("notebooks", "params", "eefcore/envs"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.delenv("EEF_RESULTS", raising=False)
    for start in (".", "notebooks", "eefcore/envs"):
        monkeypatch.chdir(tmp_path / start)
        assert stages.results_root() == tmp_path / "results"
    monkeypatch.setenv("EEF_RESULTS", "elsewhere")
    assert stages.results_root() == tmp_path / "elsewhere"


CLAIM = "import sys; from eefcore.storage.stages import *; StageLock(stage_folder('r', 'a', 'ab' * 32)); print('mine')"


def test_one_process_at_a_time_works_on_a_stage(root):
    def other():
        return subprocess.run([sys.executable, "-c", CLAIM], capture_output=True, text=True)

    claim = stages.StageLock(stages.stage_folder("r", "a", "ab" * 32))
    refused = other()
    assert f"but process {os.getpid()} does; wait for it or stop it" in refused.stderr
    claim.release()
    assert other().stdout == "mine\n"
    stages.StageLock(stages.stage_folder("r", "a", "ab" * 32)).release()


def test_reading_needs_nothing_heavy():
    script = "import sys, eefcore.storage.stages, eefcore.storage.journal, eefcore.tracking.stage; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "wandb", "matplotlib", "papermill"} & set(loaded.stdout.split())
