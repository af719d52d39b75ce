"""Whatever a bad disk did to a run's files: never other data, never a raw traceback.

A campaign damages one file at a time, in one of eleven ways, and reads it as a stage does. Its outcome is `refused`, by an
error of the library that names the file, or `same`: what was read equals what was written. What is disposable, as the
points of a killed attempt, may be `dropped`, with a warning.
"""

from __future__ import annotations

import random
import warnings
from collections import Counter
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from helpers.damage import damaged
from helpers.episodes import CARD

from eefcore.errors import StoreError
from eefcore.storage import outputs, stages
from eefcore.storage.cost import Cost
from eefcore.storage.journal import Journal
from eefcore.storage.records import read_records, write_records
from eefcore.tracking.stage import Stage
from eefcore.types import History, Step, Trajectory

FULL = pytest.mark.slow


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    return tmp_path / "results"


def episode(i: int) -> Trajectory:
    steps = tuple(Step(f"page {k}", f"click[{k}]", (k, i), (-0.25, -1.5)) for k in range(3))
    return Trajectory(history=History(f"task {i}", "the end", steps), reward=i % 2, n_expert=1, source="gpt")


def episodes(items) -> list[Trajectory]:
    return [episode(i) for i in items]


def opened(label="expert", **inputs: Path) -> Stage:
    return Stage.open(run="r", label=label, notebook="02_expert", params={"seed": 0}, inputs=inputs)


def finished() -> Path:
    """A finished stage with all kinds of files."""
    with opened() as stage:
        kept = stage.journal("plays").run(range(6), 2, episodes)
        write_records(stage.folder / "experts.jsonl", kept, kind="trajectories", card=CARD)
        for step in range(3):
            stage.log({"train/loss": 1 / (step + 1)}, step=step)
        stage.log({"expert/win_rate": 0.5, "expert/n": 6})
        stage.table("tasks", ["task", "reward"], [["a", 1.0], ["b", 0.0]])
        stage.text("case", "«click[Buy Now]»")
        stage.card(CARD)
        stage.cost(Cost(episodes=6))
    return stage.folder


def all_of(folder: Path) -> object:
    """All that a later stage reads of a finished one; raise StoreError as it would."""
    stage = opened("select", experts=folder)
    stage.abandon()
    record = stages.read_record(folder)
    files = {name: (folder / name).read_bytes() for name in record.outputs}
    assert stage.identities == {"experts": record.identity}
    return record, read_records(folder / "experts.jsonl", Trajectory, card=CARD).list, files


def campaign(n: int, file: Path, read, *, seed: int, less=lambda got: False) -> Counter[str]:
    """Damage `file` n times, and count what came of reading it."""
    rng, whole, expected, ends = random.Random(f"{seed} {file.name}"), file.read_bytes(), read(), Counter()
    for _ in range(n):
        file.write_bytes(damaged(whole, rng))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                got = read()
            except StoreError as error:
                assert file.name in str(error) and len(str(error)) < 2000
                ends["refused"] += 1
            else:
                ends[
                    "same" if got == expected else "dropped" if said else "less" if less(got) else "other"
                ] += 1
    file.write_bytes(whole)
    assert read() == expected
    return ends


FILES = [
    "stage.json",
    "experts.jsonl",
    "metrics.jsonl",
    "plays.journal.jsonl",
    "tables/tasks.csv",
    "texts/case.txt",
]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("n", [15, pytest.param(400, marks=FULL)])
def test_a_damaged_file_of_a_finished_stage_is_never_read_as_other_data(n, file, monkeypatch):
    monkeypatch.setattr("eefcore.tracking.stage.code_of", lambda *_: {})
    monkeypatch.setattr("eefcore.tracking.identity.code_of", lambda *_: {})
    folder = finished()
    ends = campaign(n, folder / file, lambda: all_of(folder), seed=n)
    print(file, dict(ends))
    assert not {*ends} - {"refused", "same"} and ends["refused"] > n / 2


@pytest.mark.parametrize("n", [20, pytest.param(400, marks=FULL)])
def test_a_damaged_journal_goes_on_with_the_same_records_or_is_refused(n, tmp_path):
    path, state = tmp_path / "plays.journal.jsonl", []
    items = range(9)
    assert Journal(path, Trajectory).run(items, 2, episodes) == episodes(items)
    whole = path.read_bytes()

    def read():
        return Journal(path, Trajectory).run(items, 2, lambda chunk: state.append(chunk) or episodes(chunk))

    ends = campaign(n, path, read, seed=n)
    print(dict(ends), len(state), "chunks were worked again")
    assert not {*ends} - {"refused", "same"} and ends["refused"] > n / 3
    assert path.read_bytes() == whole


def test_a_journal_of_an_earlier_version_goes_on(tmp_path):
    path = tmp_path / "j.jsonl"
    Journal(path, Trajectory).run(range(4), 2, episodes)
    lines = path.read_text().splitlines()
    old = [line.partition(',"hash"')[0] + "}" * (',"hash"' in line) for line in lines[:4]]
    assert sum('"records":2}' in line for line in old) == 1
    path.write_text("\n".join(old) + "\n")
    worked = []
    assert Journal(path, Trajectory).run(range(4), 2, lambda c: worked.extend(c) or episodes(c)) == episodes(
        range(4)
    )
    assert worked == [2, 3]


@pytest.mark.parametrize("file", ["metrics.partial.jsonl", "attempts.json", "progress.json"])
@pytest.mark.parametrize("n", [10, pytest.param(220, marks=FULL)])
def test_damaged_notes_of_a_killed_attempt_are_dropped_and_said(n, file, monkeypatch):
    """The attempt that comes next goes on; what it logs itself is whole."""
    monkeypatch.setattr("eefcore.tracking.stage.code_of", lambda *_: {})
    monkeypatch.setattr("eefcore.tracking.identity.code_of", lambda *_: {})
    killed = opened()
    with killed.progress(4, "tasks") as bar:
        bar(2)
    for step in range(4):
        killed.log({"train/loss": 1 / (step + 1)}, step=step)
    killed.log({"expert/n": 3})
    killed.abandon()
    partial = killed.folder
    kept = {path.name: path.read_bytes() for path in partial.iterdir()}

    def read():
        for name, content in kept.items():
            if name != file:
                (partial / name).write_bytes(content)
        stages.read_progress(killed._final)
        stage = opened()
        stage.log({"expert/n": 6})
        points, attempt = stage._metrics.points(), stage.attempt
        stage.abandon()
        assert points[-1].metrics == {"expert/n": 6} and attempt == 2
        steps = {p.step: p.metrics for p in points[:-1]}
        assert all(steps[step] == {"train/loss": 1 / (step + 1)} for step in steps)
        return steps, len(stage._earlier)

    every = {step: {"train/loss": 1 / (step + 1)} for step in range(4)}
    # whole lines may be missing at the end, as if the attempt had been killed before
    ends = campaign(n, partial / file, read, seed=n, less=lambda got: got[0].items() < every.items())
    print(file, dict(ends))
    assert not {*ends} - {"dropped", "same", "less"} and ends["less"] < n / 2
    assert file == "progress.json" or ends["dropped"] > n / 3


def test_a_whole_run_is_verified(root, capsys):
    """What is damaged, expected against got; a stage that was recorded without hashes is named, and read."""
    folder = finished()
    (clean,) = outputs.verify_run("r")
    assert clean.files == len(FILES) - 1 and not clean.damages and not clean.unknown and not clean.problem
    (folder / "texts/case.txt").write_text("«click[Back]»")
    (folder / "metrics.jsonl").unlink()
    (folder / "more.txt").write_text("mine")
    (found,) = outputs.verify_run("r")
    expected = stages.read_record(folder).outputs
    assert [(d.path, d.expected) for d in found.damages] == [
        (name, expected[name]) for name in ("metrics.jsonl", "texts/case.txt")
    ]
    assert found.damages[0].got == "No such file or directory" and len(found.damages[1].got) == 64
    assert found.unknown == ["more.txt"]
    with pytest.raises(
        StoreError, match=r"metrics\.jsonl: expected \w{12}, got No such .*move this folder away"
    ):
        opened("select", experts=folder)
    with pytest.raises(StoreError, match="no finished stage"):
        [*outputs.verify_run("nobody")]
    records = folder / "experts.jsonl"
    records.write_text(records.read_text().replace('"reward":1', '"reward":0', 1))
    with pytest.raises(
        StoreError, match=r"experts\.jsonl: damaged: expected \w{12}, as its stage wrote it, got"
    ):
        read_records(records, Trajectory)  # also by a command that opens no stage


def test_a_stage_recorded_without_hashes_is_read_with_a_note(root):
    folder = finished()
    record = stages.read_record(folder)
    old = {
        k: v
        for k, v in msgspec.to_builtins(record).items()
        if k not in ("outputs", "models", "sequence", "seal")
    }
    (folder / "stage.json").write_bytes(msgspec.json.encode(old))
    assert stages.read_record(folder).outputs == {} and stages.read_record(folder).identity == record.identity
    with pytest.warns(UserWarning, match="select reads 1 stages unchecked, .* without hashes: expert-"):
        opened("select", experts=folder).abandon()
    (found,) = outputs.verify_run("r")
    assert (found.files, found.damages, found.unknown) == (0, [], [])


def test_stages_are_in_the_order_in_which_they_finished_though_the_clock_was_set_back(root, monkeypatch):
    class Clock:
        hour = 12

        @classmethod
        def now(cls, tz):
            cls.hour -= 1
            return datetime(2026, 1, 1, cls.hour, tzinfo=tz)

    monkeypatch.setattr("eefcore.tracking.stage.datetime", Clock)
    for label in ("a", "b", "c"):
        opened(label).finish()
    records = stages.finished_stages("r")
    assert [r.label for r in records] == ["a", "b", "c"] and [r.sequence for r in records] == [1, 2, 3]
    assert records[0].finished > records[2].finished
