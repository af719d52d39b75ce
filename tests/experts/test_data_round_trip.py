"""An expert file that is imported on the command line is what it is when 02_expert reads it itself: the same tasks' trajectories."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from helpers.byte_tokenizer import byte_tokenizer
from helpers.paths import ROOT
from helpers.workspaces import write_params
from typer.testing import CliRunner

from eefcore.cli import main
from eefcore.errors import DataError, StageFailed
from eefcore.experts import collect
from eefcore.experts.foreign.exporting import to_dataset
from eefcore.experts.foreign.importing import read_foreign
from eefcore.instructions import instruction_key
from eefcore.rendering.formats import AGENTLITE
from eefcore.rendering.renderer import Renderer
from eefcore.rollout.exploration import check_replays, expert_starts
from eefcore.runs import runner
from eefcore.runs.planning import plan_run
from eefcore.storage import stages
from eefcore.storage.records import read_records, write_records
from eefcore.types import Card, Example, Trajectory


def eef(*arguments: object) -> str:
    said = CliRunner().invoke(main.app, [*map(str, arguments)])
    assert said.exit_code == 0, said.output
    return said.output


@pytest.fixture(scope="module")
def shown(mini) -> list[Trajectory]:
    """Two experts on the training tasks, failures included, and one of them on a dev task."""
    own = collect.demonstrations(mini, ["strong", "weak"], "train", seed=0)
    return [*own, *collect.demonstrations(mini, ["weak"], "dev", seed=0)[:1]]


def turns(t: Trajectory) -> list[tuple[str, str]]:
    return [turn for s in t.history.steps for turn in (("human", s.observation), ("gpt", s.action))]


def conversation(t: Trajectory, *, last: bool) -> list[dict]:
    said = [*turns(t), *([("human", t.history.observation)] if last else [])]
    return [{"from": who, "value": text} for who, text in said]


def react(path: Path, shown: list[Trajectory]) -> list[object]:
    records = []
    for i, t in enumerate(shown):
        seen = [*(s.observation for s in t.history.steps[1:]), t.history.observation]
        steps = [
            {"action": "reset", "obs": t.history.steps[0].observation},
            *({"action": a, "obs": o} for a, o in zip(t.actions, seen, strict=True)),
        ]
        records.append({"idx": i, "instruction": "", "reward": t.reward, "bought": True, "steps": steps})
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return []


def agentgym(path: Path, shown: list[Trajectory]) -> list[object]:
    """As AgentTraj-L has it: the last action is answered by nothing, and rewards count to 100."""
    records = [
        {"item_id": f"webshop_{i}", "reward": 100 * t.reward, "conversations": conversation(t, last=False)}
        for i, t in enumerate(shown)
    ]
    path.write_text(json.dumps(records))
    return ["--win", 100]


def eto(path: Path, shown: list[Trajectory]) -> list[object]:
    records = [
        {"id": 7, "reward": t.reward, "source": t.source, "conversations": conversation(t, last=True)}
        for t in shown
    ]
    path.write_text(json.dumps(records))
    return []


def openai(path: Path, shown: list[Trajectory]) -> list[object]:
    """What `eef data export` writes; the API's format has no rewards."""
    write_records(path.with_name("examples.jsonl"), [Example(t) for t in shown], kind="examples", card=None)
    eef("data", "export", path.with_name("examples.jsonl"), path)
    rewards = path.with_name("rewards.json")
    rewards.write_text(json.dumps({str(i): t.reward for i, t in enumerate(shown)}))
    return ["--rewards", rewards]


def dataset(path: Path, shown: list[Trajectory]) -> list[object]:
    to_dataset([Example(t) for t in shown], Renderer(byte_tokenizer(), AGENTLITE)).to_json(path)
    return []


def agentlite(path: Path, shown: list[Trajectory]) -> list[object]:
    """One episode a task, as AgentLite's log knows them by what they ask for."""
    text = ""
    for t in shown:
        first, *rest = t.history.steps
        seen = [*(s.observation for s in rest), t.history.observation]
        text += f"Task:{first.observation}\n"
        text += "".join(f"Action:{a}\nObservation: {o}\n" for a, o in zip(t.actions, seen, strict=True))
    path.write_text(text)
    rewards = path.with_name("rewards.tsv")
    lines = [f"{i}\t{t.history.steps[0].observation}\t{t.reward}" for i, t in enumerate(shown)]
    rewards.write_text("\n".join(lines))
    return ["--rewards", rewards]


Writer = Callable[[Path, list[Trajectory]], list[object]]
EVERY = pytest.mark.parametrize("write", [react, agentgym, eto, openai, dataset], ids=lambda w: w.__name__)


def facts(t: Trajectory) -> tuple:
    """All of an episode but its last page, which some formats leave out, and who acted."""
    return t.task_id, t.actions, tuple(s.observation for s in t.history.steps), t.reward, t.n_expert


@EVERY
def test_exported_trajectories_come_back_with_their_tasks_and_can_be_explored_from(
    mini, tmp_path, shown, write: Writer
):
    raw, out = tmp_path / "raw.json", tmp_path / "ours.jsonl"
    said = eef("data", "import", raw, out, *write(raw, shown))
    assert f"{len(shown)} trajectories" in said
    back = collect.expert_data(mini, [], str(out), seed=0, budget=None, allocation="each")
    assert [*map(facts, back)] == [*map(facts, shown)]
    train = collect.without_held_out(back, mini)
    assert [t.task_id for t in train] == [t.task_id for t in shown[:-1]]
    assert collect.attempted_tasks(train, mini) == [*mini.tasks("train")]
    explorable = check_replays(mini, train)
    assert explorable.refused == []
    assert [t.history for t in explorable.replayable] == [t.history for t in shown[:-1]], (
        "the last page is filled in"
    )
    starts = [s.history.state for s in expert_starts(explorable.replayable, 5, 0.5, seed=0)]
    assert starts == [s.history.state for s in expert_starts(shown[:-1], 5, 0.5, seed=0)]


@EVERY
def test_a_file_imported_first_equals_one_that_02_expert_reads(mini, tmp_path, shown, write: Writer):
    raw, out = tmp_path / "raw.json", tmp_path / "ours.jsonl"
    options = write(raw, shown)
    eef("data", "import", raw, out, *options)
    back = collect.read_demonstrations(str(out), mini)
    if not options:  # what needs options can't be given to 02_expert as it is
        assert back == collect.read_demonstrations(str(raw), mini)
    assert sorted({t.sample for t in back}) == [0, 1], "two experts' trajectories of a task are two samples"
    assert [t.task_id for t in read_records(out, Trajectory).list] != [
        t.task_id for t in back
    ] or write is dataset
    again = tmp_path / "again.jsonl"
    write_records(again, back, kind="trajectories", card=mini.card)
    assert collect.read_demonstrations(str(again), mini) == back, "what a stage wrote is not renamed"


def test_an_agentlite_log_comes_back_with_its_tasks(mini, tmp_path):
    shown = collect.demonstrations(mini, ["perfect"], "train", seed=0)
    raw, out = tmp_path / "raw.txt", tmp_path / "ours.jsonl"
    eef("data", "import", raw, out, *agentlite(raw, shown))
    assert [*map(facts, collect.read_demonstrations(str(out), mini))] == [*map(facts, shown)]


def test_several_files_of_both_kinds_are_read_together(mini, tmp_path, shown):
    raw, out = tmp_path / "raw.json", tmp_path / "ours.jsonl"
    eef("data", "import", raw, out, *react(raw, shown))
    one = collect.read_demonstrations(str(raw), mini)
    assert collect.read_demonstrations(f"{raw} + {out}", mini) == [*one, *one]


def test_a_trajectory_of_another_environment_gets_its_task_by_content(mini, tmp_path, shown):
    """A composite shop's, or another program's: a card of another name says nothing about ids."""
    other = [
        msgspec.structs.replace(t, history=msgspec.structs.replace(t.history, task_id="x")) for t in shown
    ]
    file = tmp_path / "other.jsonl"
    write_records(file, other, kind="trajectories", card=Card("elsewhere", {}))
    assert [*map(facts, collect.read_demonstrations(str(file), mini))] == [*map(facts, shown)]


def test_a_dataset_has_columns_of_source_and_reward(tmp_path, shown):
    raw = tmp_path / "raw.jsonl"
    dataset(raw, shown)
    back = read_foreign(raw)
    assert [(t.task_id, t.source, t.reward) for t in back] == [(t.task_id, t.source, t.reward) for t in shown]


# Nothing to explore -------------------------------------------------------------------------------------


def given(benchmark, file: Path) -> list[Trajectory]:
    return collect.expert_data(benchmark, [], str(file), seed=0, budget=None, allocation="each")


def test_a_file_of_another_shop_is_refused_with_the_reasons(generated, mini, tmp_path, shown):
    raw, out = tmp_path / "raw.json", tmp_path / "ours.jsonl"
    other = generated("10/4/4", 77)
    dev = collect.demonstrations(mini, ["weak"], "dev", seed=0)
    strange = collect.demonstrations(other, ["weak"], "train", seed=0)
    strange = [t for t in strange if instruction_key(t.history.at(0).observation) not in wishes(mini)]
    assert strange
    eef("data", "import", raw, out, *react(raw, [*strange, *dev]))
    for file in (raw, out):
        with pytest.raises(DataError) as told:
            given(mini, file)
        message = str(told.value)
        assert (
            f"none of its {len(strange) + len(dev)} trajectories is of a training task of webshop" in message
        )
        assert f"{len(dev)} of dev tasks, which nothing is trained on" in message
        assert f"{len(strange)} ask for what no task of it asks for, such as " in message
        assert "check that benchmark, data, sizes and world_seed" in message
    eef("data", "import", raw, out, *react(raw, [*strange, shown[0]]))
    assert len(given(mini, out)) == len(strange) + 1, "one that matches is enough"


def wishes(benchmark) -> set[str]:
    return {instruction_key(benchmark.instruction(t)) for s in collect.SPLITS for t in benchmark.tasks(s)}


@pytest.mark.notebook
@pytest.mark.xdist_group("notebooks")
def test_the_stage_itself_reads_it_or_stops_at_once(generated, tmp_path, monkeypatch):
    """02_expert as `eef run` runs it: all of its trajectories can be explored from; of another shop's it says why."""
    shop = generated()
    experts = collect.demonstrations(shop, ["weak"], "train", seed=0)
    raw, out = tmp_path / "raw.json", tmp_path / "ours.jsonl"
    eef("data", "import", raw, out, *openai(raw, experts))
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("EEF_TEST_FILE", str(out))
    text = "run: r\nshared: {{sizes: 24/8/8, world_seed: {}}}\nstages: {{expert: {{file: '${{EEF_TEST_FILE}}'}}}}\n"
    text += "methods: {{A: {{iterations: 1}}}}"
    first, *_ = plan_run(write_params(tmp_path, text.format(0)))
    runner.run([first], resume="", jobs=1)
    logged = stages.read_record(first.folder).metrics
    assert (logged["expert/n"], logged["expert/tasks"], logged["expert/refused"]) == (24, 24, 0)
    first, *_ = plan_run(write_params(tmp_path, text.format(5)))
    with pytest.raises(StageFailed, match=r"DataError: 02_expert: file .*none of its 24 trajectories is of"):
        runner.run([first], resume="", jobs=1)
