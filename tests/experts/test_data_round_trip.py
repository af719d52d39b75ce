"""An expert file that is imported on the command line is what it is when 02_expert reads it itself: the same tasks' trajectories."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec
import pytest
from helpers.byte_tokenizer import byte_tokenizer
from helpers.paths import ROOT
from helpers.workspaces import write_params
from typer.testing import CliRunner

from eefcore.cli import main
from eefcore.envs.panels import panel_sizes
from eefcore.envs.webshop.benchmark import WebShopBenchmark
from eefcore.envs.webshop.interfaces.options import read_interface
from eefcore.errors import DataError, StageFailed
from eefcore.experts import collect
from eefcore.experts.demonstrate import demonstrate_tasks
from eefcore.experts.foreign.exporting import export_foreign
from eefcore.experts.foreign.formats import FORMATS
from eefcore.experts.foreign.importing import read_foreign, read_rewards
from eefcore.experts.webshop.shopper import make_shopper
from eefcore.instructions import instruction_key
from eefcore.rendering.formats import AGENTLITE
from eefcore.rendering.renderer import Renderer
from eefcore.rollout.exploration import USES, check_replays, expert_starts, list_uses
from eefcore.runs import runner
from eefcore.runs.planning import plan_run
from eefcore.selection.algorithm import cloning_set
from eefcore.storage import stages
from eefcore.storage.records import read_records, write_records
from eefcore.training.rows import Row, make_row
from eefcore.types import Card, Example, History, Step, Trajectory


def eef(*arguments: object) -> str:
    said = CliRunner().invoke(main.app, [*map(str, arguments)])
    assert said.exit_code == 0, said.output
    return said.output


@pytest.fixture(scope="module")
def shown(mini) -> list[Trajectory]:
    """Two experts on the training tasks, failures included, and one of them on a dev task."""
    own = collect.demonstrations(mini, ["strong", "weak"], "train", seed=0)
    return [*own, *collect.demonstrations(mini, ["weak"], "dev", seed=0)[:1]]


Writer = Callable[[Path, list[Trajectory]], list[object]]


def exported(format: str) -> Writer:
    """Return a writer of trajectories in a foreign format, which gives the options that the import needs."""

    def write(path: Path, shown: list[Trajectory]) -> list[object]:
        ours = path.with_name("to_export.jsonl")
        foreign = [renumbered(t, f"number {i}") for i, t in enumerate(shown)]
        write_records(ours, foreign, kind="trajectories", card=None)
        said = eef("data", "export", ours, path, "--format", format)
        return said.split("… ")[1].split("`")[0].split() if "--rewards" in said else []

    write.__name__ = format
    return write


def renumbered(t: Trajectory, task_id: str) -> Trajectory:
    return msgspec.structs.replace(t, history=msgspec.structs.replace(t.history, task_id=task_id))


def raw_agentgym(path: Path, shown: list[Trajectory]) -> list[object]:
    """As AgentTraj-L has it: rules that are agreed to, no answer to the last action, rewards that count to 100."""
    records = []
    for i, t in enumerate(shown):
        turns = [{"from": "human", "value": "You shop."}, {"from": "gpt", "loss": False, "value": "Ok."}]
        for s in t.history.steps:
            turns += [{"from": "human", "value": s.observation}, {"from": "gpt", "value": s.action}]
        records.append({"item_id": f"webshop_{i}", "reward": 100 * t.reward, "conversations": turns})
    path.write_text(json.dumps(records))
    return ["--win", 100]


def dataset(path: Path, shown: list[Trajectory]) -> list[object]:
    """As a Hugging Face dataset, which keeps the ids of tasks."""
    ours, table = path.with_name("to_export.jsonl"), path.with_suffix(".jsonl")
    write_records(ours, shown, kind="trajectories", card=None)
    eef("data", "export", ours, table, "--format", "datasets")
    table.rename(path)
    return []


react, agentlite = exported("react"), exported("agentlite")
EVERY = pytest.mark.parametrize(
    "write",
    [react, *map(exported, ("agentgym", "eto", "openai")), raw_agentgym, dataset],
    ids=lambda w: w.__name__,
)


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
    back = collect.expert_data(mini, [], str(out), seed=0, budget=None, allocation="each").trajectories
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
    back = collect.read_demonstrations(str(out), mini).trajectories
    if not options:  # what needs options can't be given to 02_expert as it is
        assert back == collect.read_demonstrations(str(raw), mini).trajectories
    assert sorted({t.sample for t in back}) == [0, 1], "two experts' trajectories of a task are two samples"
    assert [t.task_id for t in read_records(out, Trajectory).list] != [
        t.task_id for t in back
    ] or write is dataset
    again = tmp_path / "again.jsonl"
    write_records(again, back, kind="trajectories", card=mini.card)
    assert collect.read_demonstrations(str(again), mini).trajectories == back, (
        "what a stage wrote is not renamed"
    )


def test_an_agentlite_log_comes_back_with_its_tasks(mini, tmp_path):
    shown = collect.demonstrations(mini, ["perfect"], "train", seed=0)
    raw, out = tmp_path / "raw.txt", tmp_path / "ours.jsonl"
    eef("data", "import", raw, out, *agentlite(raw, shown))
    assert [*map(facts, collect.read_demonstrations(str(out), mini).trajectories)] == [*map(facts, shown)]


@pytest.mark.parametrize("format", [*FORMATS])
@pytest.mark.parametrize("seed", range(3))
def test_every_format_gives_the_same_training_rows_back(mini, tmp_path, shown, format, seed):
    """Flags of what is trained included, and all can be explored from."""
    renderer = Renderer(byte_tokenizer(), AGENTLITE)
    once = {t.task_id: t for t in shown[:-1]}  # AgentLite's text knows an episode by what it asks for
    pool = [*once.values()] if format == "agentlite" else shown[:-1]
    draw = random.Random(seed)
    played = draw.sample(pool, 6)
    if format == "agentlite":
        flagged = played
    else:
        flagged = [with_flags(t, [draw.random() < 0.6 for _ in range(len(t))]) for t in played]
    raw, out = tmp_path / "raw", tmp_path / "ours.jsonl"
    eef("data", "import", raw, out, *exported(format)(raw, flagged), "--source", "gpt-4")
    back = collect.read_demonstrations(str(out), mini).trajectories
    assert {t.source for t in back} == {"gpt-4"}
    assert [row_of(t, renderer) for t in back] == [row_of(t, renderer) for t in flagged]
    explorable = check_replays(mini, back)
    assert explorable.refused == [] and [t.history for t in explorable.replayable] == [
        t.history for t in flagged
    ]
    trained = [t for t in back if t.trains_from(0)]
    assert [e.trajectory for e in cloning_set(back, "all")] == trained or not trained


def with_flags(t: Trajectory, trained: list[bool]) -> Trajectory:
    steps = [msgspec.structs.replace(s, trained=f) for s, f in zip(t.history.steps, trained, strict=True)]
    history = msgspec.structs.replace(t.history, steps=tuple(steps))
    return msgspec.structs.replace(t, history=history)


def row_of(t: Trajectory, renderer: Renderer) -> tuple[Row | None, float]:
    return make_row(Example(t), renderer) if t.trains_from(0) else None, t.reward


def test_an_exported_example_is_trained_as_before(mini, tmp_path, shown):
    """Case: our own example, trained from its second action on, written as a chat and read back."""
    renderer = Renderer(byte_tokenizer(), AGENTLITE)
    examples = [Example(t, 1) for t in shown if len(t) > 1]
    write_records(tmp_path / "examples.jsonl", examples, kind="examples", card=None)
    said = eef("data", "export", tmp_path / "examples.jsonl", tmp_path / "chat.jsonl")
    assert f"{len(examples)} examples" in said
    back = read_foreign(tmp_path / "chat.jsonl", rewards=read_rewards(tmp_path / "chat.rewards.json"))
    assert [make_row(Example(t), renderer) for t in back] == [make_row(e, renderer) for e in examples]


def test_what_agentlites_text_cannot_hold_is_refused(tmp_path, shown):
    path = tmp_path / "t.txt"
    with pytest.raises(DataError, match="no flag for what is not trained; choose another format"):
        export_foreign([with_flags(shown[0], [False] * len(shown[0]))], path, "agentlite")
    with pytest.raises(DataError, match="known by what it asks for, once in a file"):
        export_foreign([shown[0], shown[0]], path, "agentlite")
    history = History("t", "end", (Step("a mug", "search[{}]"), Step("page\nTask: another", "click[{}]")))
    with pytest.raises(DataError, match="no page may hold a line that begins like a turn"):
        export_foreign([Trajectory(history=history, reward=1.0)], path, "agentlite")
    with pytest.raises(DataError, match="no format 'csv'; choose one of react"):
        export_foreign(shown, path, "csv")


def test_records_of_another_price_cap_are_explored_under_it(mini, tmp_path):
    """The official engine draws caps anew: the recorded one is the task's, so that o_0 replays."""
    task = mini.tasks("train")[0]
    goal = mini.goal(task)
    other = mini.variant(task, f"a, and price lower than {goal.price_upper + 30:.2f} dollars")
    (t,) = demonstrate_tasks(mini, make_shopper(mini, "perfect", seed=0), [other])
    assert t.win and t.history.at(0).observation == mini.instruction(other) != mini.instruction(task)
    raw, out = tmp_path / "raw", tmp_path / "ours.jsonl"
    eef("data", "import", raw, out, *exported("agentgym")(raw, [t]))
    (back,) = given_file(mini, out)
    assert back.task_id == other and collect.attempted_tasks([back], mini) == [other]
    assert check_replays(mini, [back]).replayable == [t_as(back, t)]
    dev = mini.tasks("dev")[0]
    held = msgspec.structs.replace(back, history=History(f"{dev}@7", "", back.history.steps))
    assert collect.without_held_out([back, held], mini) == [back]


def t_as(like: Trajectory, t: Trajectory) -> Trajectory:
    return msgspec.structs.replace(t, source=like.source, money=like.money, marks=like.marks)


@pytest.mark.parametrize("query", ["arrows=false&item_lines=false", "per_page=5", "arrows=false"])
def test_the_pages_of_a_file_say_which_shop_a_run_plays(mini, tmp_path, query):
    """On the command line, and in the plan of a run that names no option; every trajectory replays there."""
    interface = read_interface(dict(parse_qsl(query)))
    shop = WebShopBenchmark.load(mini.folder, sizes=panel_sizes("24/8/8"), seed=0, interface=interface)
    shown = [*demonstrate_tasks(shop, make_shopper(shop, "perfect", seed=0), shop.tasks("train"))]
    raw, out = tmp_path / "raw.jsonl", tmp_path / "ours.jsonl"
    said = eef("data", "import", raw, out, *exported("eto")(raw, shown))
    assert f"benchmark: webshop?{query}" in said
    assert check_replays(mini, collect.read_demonstrations(str(out), mini).trajectories).replayable == []
    back = collect.read_demonstrations(str(out), shop).trajectories
    assert check_replays(shop, back).refused == []
    for file in (raw, out):
        text = f"run: r\nshared: {{sizes: 24/8/8}}\nstages: {{expert: {{file: '{file}'}}}}\nmethods: {{A: {{iterations: 2}}}}"
        nodes = plan_run(write_params(tmp_path, text))
        assert {n.params["benchmark"] for n in nodes if "benchmark" in n.params} == {f"webshop_mini?{query}"}
        named = text.replace("sizes", "benchmark: 'webshop_mini?per_page=3', sizes")
        nodes = plan_run(write_params(tmp_path, named))
        assert {n.params["benchmark"] for n in nodes if "benchmark" in n.params} == {
            "webshop_mini?per_page=3"
        }


def test_a_row_says_for_each_trajectory_whether_it_is_explored_and_why_not(mini, shown):
    """A trajectory of another page, of another shop's task and of a dev task."""
    good, odd, *_, dev = shown
    first, *rest = odd.history.steps
    steps = (msgspec.structs.replace(first, observation=first.observation + "!"), *rest)
    odd = msgspec.structs.replace(odd, history=msgspec.structs.replace(odd.history, steps=steps))
    foreign = renumbered(good, "9")
    experts = [good, odd, foreign, dev]
    kept = collect.without_held_out(experts, mini)
    listed = list_uses(experts, kept, check_replays(mini, kept), [("mine.jsonl:7", "is no JSON")])
    *rows, unread = [dict(zip(USES, row, strict=True)) for row in listed]
    assert (unread["task"], unread["use"]) == ("mine.jsonl:7", "left out")
    assert unread["why not explored"] == "is no JSON"
    assert [row["use"] for row in rows] == ["explore", "only clone", "only clone", "held out"]
    why = [row["why not explored"] for row in rows]
    assert why[0] == "" and "o_0 is now" in why[1] and "asks for no task of this benchmark" in why[2]
    assert [row["actions"] for row in rows] == [len(t) for t in experts]


def test_several_files_of_both_kinds_are_read_together(mini, tmp_path, shown):
    raw, out = tmp_path / "raw.json", tmp_path / "ours.jsonl"
    eef("data", "import", raw, out, *react(raw, shown))
    one = collect.read_demonstrations(str(raw), mini).trajectories
    assert collect.read_demonstrations(f"{raw} + {out}", mini).trajectories == [*one, *one]


def test_a_trajectory_of_another_environment_gets_its_task_by_content(mini, tmp_path, shown):
    """A composite shop's, or another program's: a card of another name says nothing about ids."""
    other = [renumbered(t, "x") for t in shown]
    file = tmp_path / "other.jsonl"
    write_records(file, other, kind="trajectories", card=Card("elsewhere", {}))
    assert [*map(facts, collect.read_demonstrations(str(file), mini).trajectories)] == [*map(facts, shown)]


def test_a_dataset_has_columns_of_source_and_reward(tmp_path, shown):
    raw = tmp_path / "raw.jsonl"
    dataset(raw, shown)
    back = read_foreign(raw)
    assert [(t.task_id, t.source, t.reward) for t in back] == [(t.task_id, t.source, t.reward) for t in shown]


# Nothing to explore -------------------------------------------------------------------------------------


def given_file(benchmark, file: Path) -> list[Trajectory]:
    return collect.expert_data(benchmark, [], str(file), seed=0, budget=None, allocation="each").trajectories


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
            given_file(mini, file)
        message = str(told.value)
        assert (
            f"none of its {len(strange) + len(dev)} trajectories is of a training task of webshop" in message
        )
        assert f"{len(dev)} of dev tasks, which nothing is trained on" in message
        assert f"{len(strange)} ask for what no task of it asks for, such as " in message
        assert "check that benchmark, data, sizes and world_seed" in message
    eef("data", "import", raw, out, *react(raw, [*strange, shown[0]]))
    assert len(given_file(mini, out)) == len(strange) + 1, "one that matches is enough"


def wishes(benchmark) -> set[str]:
    return {instruction_key(benchmark.instruction(t)) for s in collect.SPLITS for t in benchmark.tasks(s)}


@pytest.mark.notebook
@pytest.mark.xdist_group("notebooks")
def test_stages_explore_from_an_imported_file_or_stop_at_once(generated, mini, tmp_path, monkeypatch):
    """As `eef run` runs them: AgentGym's records of other numbers, price caps and pages; of another shop's 02_expert says why."""
    experts = elsewhere(mini)
    raw, out = tmp_path / "raw.json", tmp_path / "ours.jsonl"
    eef("data", "import", raw, out, *exported("agentgym")(raw, experts), "--source", "gpt-4")
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("EEF_TEST_FILE", str(out))
    text = "run: r\nshared: {{sizes: 24/8/8, world_seed: {}}}\nmethods: {{A: {{iterations: 2, explore: {{M: 1}}}}}}\n"
    text += "stages: {{expert: {{file: '${{EEF_TEST_FILE}}'}}, train: {{epochs: 1}}}}"
    wanted = ("expert", "select.1", "train.1", "explore.1")
    nodes = {n.label: n for n in plan_run(write_params(tmp_path, text.format(0))) if n.label in wanted}
    runner.run([*nodes.values()], resume="", jobs=1)
    logged = {label: stages.read_record(node.folder).metrics for label, node in nodes.items()}
    assert [logged["expert"][f"expert/{k}"] for k in ("n", "tasks", "refused")] == [len(experts)] * 2 + [0]
    explored = logged["explore.1"]
    assert explored["explore/n_expert_states"] == len(experts) and explored["explore/refused"] == 0
    rows = (nodes["expert"].folder / "tables" / "refused.csv").read_text().splitlines()
    assert len(rows) == 1 + len(experts) and all(",explore," in row and "@" in row for row in rows[1:])
    first, *_ = plan_run(write_params(tmp_path, text.format(5)))
    with pytest.raises(StageFailed, match=r"DataError: 02_expert: file .*none of its \d+ trajectories is of"):
        runner.run([first], resume="", jobs=1)


def elsewhere(mini: WebShopBenchmark) -> list[Trajectory]:
    """Return what experts did on six training tasks in another copy of the shop, under other price caps."""
    interface = read_interface({"arrows": "false", "item_lines": "false"})
    shop = WebShopBenchmark.load(mini.folder, sizes=panel_sizes("24/8/8"), seed=0, interface=interface)
    tasks = [t for t in shop.tasks("train") if shop.goal(t).price_upper < 1000][:6]
    variants = [
        shop.variant(t, f"it, and price lower than {shop.goal(t).price_upper + 10:.2f} dollars")
        for t in tasks
    ]
    return [*demonstrate_tasks(shop, make_shopper(shop, "perfect", seed=0), variants)]
