"""Files of records: what is read is what was written, and a harmed file message where and what."""

import json
import os
import resource
from errno import ENOSPC

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eefcore.errors import CardMismatch, StoreError
from eefcore.storage import disk, stages
from eefcore.storage.records import read_records, write_records
from eefcore.types import Card, Example, History, Mistake, State, Step, StopReason, Trajectory

CARD = Card("webshop", {"products": 1000, "catalogue": "ab12", "prices": 0})


def trajectory(task_id="t", reward=1.0, logp=-0.25):
    step = Step("o_0", "click[Buy Now]", (3, 4), (logp, -1.5))
    return Trajectory(history=History(task_id, "o_1", (step,)), reward=reward, n_expert=1, source="gpt")


def save(path, records=(), kind="trajectories", card=CARD):
    write_records(path, records, kind=kind, card=card)
    return path


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
def test_records_survive_a_round_trip(tmp_path_factory, records):
    path = save(tmp_path_factory.mktemp("store") / "τ.jsonl", records)
    header, again = read_records(path, Trajectory, card=CARD)
    assert again == records
    assert (header.eefcore, header.kind, header.records, header.card) == (
        1,
        "trajectories",
        len(records),
        CARD,
    )


def test_a_file_has_a_header_and_one_line_for_each_record(tmp_path):
    path = save(tmp_path / "e.jsonl", [Example(trajectory()), Example(trajectory())], kind="examples")
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
    ("damage",          "line", "message"),
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
def test_a_damaged_file_is_refused_with_the_line_and_the_cause(tmp_path, damage, line, message):
    path = save(tmp_path / "τ.jsonl", [trajectory(), trajectory()])
    path.write_text(damage(path, path.read_text()))
    with pytest.raises(StoreError, match=rf"τ\.jsonl:{line}: .*{message}"):
        read_records(path, Trajectory)


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = save(tmp_path / "e.jsonl", [Example(trajectory())], kind="examples")
    with pytest.raises(StoreError, match=r":1: expected Trajectory records, got Example \('examples'\)"):
        read_records(path, Trajectory)


def test_a_changed_catalogue_is_refused_and_the_change_is_named(tmp_path):
    path = save(tmp_path / "τ.jsonl", [trajectory()])
    now = Card("webshop", {**CARD.facts, "catalogue": "cd34"})
    with pytest.raises(CardMismatch, match="catalogue: expected 'cd34', got 'ab12'"):
        read_records(path, Trajectory, card=now)
    with pytest.raises(CardMismatch, match="unknown environment"):
        read_records(save(path, [trajectory()], card=None), Trajectory, card=now)


def test_a_missing_file_says_to_run_its_stage(tmp_path):
    with pytest.raises(StoreError, match="run the stage that writes it first"):
        read_records(tmp_path / "none.jsonl", Trajectory)


@pytest.mark.parametrize("logp", [float("-inf"), float("nan")])
def test_records_that_can_not_be_read_back_are_not_written(tmp_path, logp):
    path = save(tmp_path / "τ.jsonl", [trajectory("old")])
    with pytest.raises(StoreError, match=r"τ\.jsonl:3: this Trajectory can't be kept"):
        save(path, [trajectory(), trajectory(logp=logp)])
    with pytest.raises(StoreError, match="Example, Trajectory in one file"):
        save(path, [trajectory(), Example(trajectory())])
    assert read_records(path, Trajectory).list == [trajectory("old")]


def test_a_lone_surrogate_is_replaced_when_a_record_is_written(tmp_path):
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
    path = save(tmp_path / "τ.jsonl", [trajectory("old")])
    with pytest.raises(StoreError, match="can't write: File too large; free some space"):
        save(path, [trajectory()] * 100)
    assert read_records(path, Trajectory).list == [trajectory("old")]
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fills_up_during_the_sync_leaves_the_old_file(tmp_path, monkeypatch):
    path = save(tmp_path / "τ.jsonl", [trajectory("old")])

    def full(handle):
        raise OSError(ENOSPC, os.strerror(ENOSPC))

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device; free some space"):
        save(path, [trajectory()])
    assert read_records(path, Trajectory).list == [trajectory("old")]
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def read_only(tmp_path):
    """Return a folder that is not writable, for root either."""
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
        save(stages.run_folder("r") / "τ.jsonl", [trajectory()])
    with pytest.raises(StoreError, match="Permission denied; make the folder writable, or name another"):
        stages.StageLock(stages.stage_folder("r", "select.1", "ab" * 32))


def test_a_file_in_place_of_the_results_folder_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "results").write_text("")
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    with pytest.raises(StoreError, match="a file stands where a folder should be"):
        save(stages.run_folder("r") / "τ.jsonl", [trajectory()])
