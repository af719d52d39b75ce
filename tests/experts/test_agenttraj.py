"""AgentTraj-L's ScienceWorld file: what an older simulator recorded is played in today's, repaired or as it is."""

from __future__ import annotations

import json

import pytest
from helpers.sciworld_gold import GOLDEN_FILE, read
from typer.testing import CliRunner

from eefcore import envs
from eefcore.cli import main
from eefcore.envs.sciworld.tasks import AGENTGYM, VARIATIONS
from eefcore.errors import DataError
from eefcore.experts import collect
from eefcore.experts.sciworld import agenttraj
from eefcore.experts.sciworld.agenttraj import REPAIRS
from eefcore.rollout.exploration import check_replays

simulated = [pytest.mark.java, pytest.mark.xdist_group("jvm"), pytest.mark.usefixtures("simulators")]
GOLD = {gold.task.kind: gold for gold in read(GOLDEN_FILE)}
OLD = ("greenhouse", "green house")
CHANGED = "trajectories that show something else today"
REFUSED = "trajectories with an action that is not taken today"
MISNUMBERED = "records whose number names a task that they do not ask for"


@pytest.mark.parametrize(
    "name, written, today",
    [
        ("room", "Thought:\nThe green house.\n\nAction:\ngo to green house", "Thought:\nThe greenhouse.\n\nAction:\ngo to greenhouse"),
        ("terminal", "Thought: a bulb. Action: connect blue light bulb terminal 1 to battery anode", "Thought: a bulb. Action: connect blue light bulb to battery anode"),
        ("terminal", "connect metal pot terminal 1 to red wire terminal 1", "connect metal pot to red wire terminal 1"),
        ("terminal", "connect red wire terminal 1 to battery anode", "connect red wire terminal 1 to battery anode"),
        ("terminal", "connect battery anode to red wire terminal 1", "connect battery anode to red wire terminal 1"),
        ("terminal", "I said terminal 1 to you. Action: look around", "I said terminal 1 to you. Action: look around"),
        ("typo", "pick up cachew nut and sandwhich", "pick up cashew nut and sandwich"),
    ],
)  # fmt: skip
def test_three_spellings_are_repaired(name, written, today):
    assert REPAIRS[name](written) == today


def record(gold, *, old=False, actions=None, number=None):
    """The path as AgentGym's file has it; `old` as an older simulator spelt it."""
    first = sum(VARIATIONS[kind] for kind in AGENTGYM[: AGENTGYM.index(gold.task.kind)])
    said = [*gold.actions] if actions is None else actions
    turns = [{"from": "human", "value": "You are an agent.", "loss": None}, {"from": "gpt", "value": "OK. I will.", "loss": False}]  # fmt: skip
    turns.append({"from": "human", "value": gold.first, "loss": None})
    for i, action in enumerate(said):
        turns.append({"from": "gpt", "value": f"Thought:\nSo.\n\nAction:\n{action}", "loss": True})
        if i < len(said) - 1:
            seen = gold.observations[i] if i < len(gold.observations) else "…"
            turns.append({"from": "human", "value": seen, "loss": None})
    number = first + gold.task.variation if number is None else number
    text = json.dumps({"item_id": f"sciworld_{number}", "conversations": turns})
    return json.loads(text.replace(*OLD) if old else text)


def written(folder, *records):
    path = folder / "sciworld_train.json"
    path.write_text(json.dumps(records))
    return path


def green():
    """A path on file that goes through the greenhouse, in a kind of `sciworld_mini`."""
    return next(
        g for g in GOLD.values() if "go to greenhouse" in g.actions and g.task.kind.startswith("find")
    )


def won(gold):
    return gold.actions[: gold.scores.index(100) + 1]


@pytest.fixture(scope="module")
def world():
    return envs.load("sciworld_mini")


class TestRead:
    pytestmark = simulated

    def test_an_episode_in_todays_spelling_wins_as_written(self, world, tmp_path):
        gold = green()
        found = agenttraj.read_agenttraj(written(tmp_path, record(gold, actions=won(gold))), world)
        (t,) = found.trajectories
        assert t.win and t.source == "agenttraj" and t.n_expert == len(t)
        assert world.goal(t.task_id) == gold.task
        assert t.actions[0].startswith("Thought:\nSo.")
        assert {name: n for name, n in found.counts.items() if n} == {
            "trajectories": 1,
            "won": 1,
            "won as written": 1,
        }

    def test_old_spelling_is_repaired_where_the_simulator_refuses_it(self, world, tmp_path):
        gold = green()
        path = written(tmp_path, record(gold, old=True, actions=won(gold)))
        found = agenttraj.read_agenttraj(path, world)
        (t,) = found.trajectories
        assert t.win and found.counts["won as written"] == 0
        assert found.counts["actions repaired: room"] == sum("greenhouse" in a for a in won(gold))
        assert found.counts[CHANGED] == found.counts[REFUSED] == 0
        assert check_replays(world, found.trajectories).refused == []
        as_it_is = agenttraj.read_agenttraj(path, world, repair=False)
        assert not as_it_is.trajectories[0].win and as_it_is.trajectories[0].reward == 0
        assert (as_it_is.counts[REFUSED], as_it_is.counts[CHANGED]) == (1, 1)
        assert not any(as_it_is.counts[f"actions repaired: {name}"] for name in REPAIRS)
        assert check_replays(world, as_it_is.trajectories).refused == []

    def test_actions_after_the_end_are_left_out_and_counted(self, world, tmp_path):
        gold = green()
        found = agenttraj.read_agenttraj(
            written(tmp_path, record(gold, actions=[*won(gold), "wait1", "look around"])), world
        )
        assert found.trajectories[0].win and found.counts["actions after the end"] == 2

    def test_an_episode_that_shows_something_else_today_is_counted(self, world, tmp_path):
        gold = green()
        other = gold._replace(observations=["A different room.", *gold.observations[1:]])
        found = agenttraj.read_agenttraj(written(tmp_path, record(other, actions=won(gold))), world)
        assert found.trajectories[0].win and found.counts[CHANGED] == 1

    def test_tasks_of_other_kinds_are_counted(self, world, tmp_path):
        found = agenttraj.read_agenttraj(
            written(tmp_path, record(GOLD["boil"]), record(green(), number=4639)), world
        )
        assert found.trajectories == [] and found.counts["records of other tasks"] == 2
        assert [place for place, _ in found.refused] == [f"sciworld_train.json, record {i}" for i in range(2)]

    @pytest.mark.parametrize("acts", [["look around"], ["look around", "go to hallway"]])
    def test_a_record_that_asks_for_another_task_than_its_number_is_counted(self, world, tmp_path, acts):
        """As where a file counts the kinds otherwise; a record that wins is of its task, whatever its words."""
        gold = green()
        asked, _, page = gold.first.partition("\n")
        other = gold._replace(first=f"Your task is to do something else.\n{page}")
        found = agenttraj.read_agenttraj(
            written(
                tmp_path,
                record(other, actions=acts),
                record(gold, actions=acts),
                record(other, actions=won(gold)),
            ),
            world,
        )
        (refused,) = found.refused
        assert refused.place == "sciworld_train.json, record 0"
        assert (
            "asks 'Your task is to" in refused.reason
            and "'Your task is to do something else.'" in refused.reason
        )
        assert found.counts[MISNUMBERED] == 1 and [t.win for t in found.trajectories] == [False, True]
        assert found.counts["won as written"] == 1
        assert {t.history.at(0).observation.partition("\n")[0] for t in found.trajectories} == {asked}
        as_it_is = agenttraj.read_agenttraj(
            written(tmp_path, record(other, actions=acts)), world, repair=False
        )
        assert (as_it_is.trajectories, as_it_is.counts[MISNUMBERED]) == ([], 1)

    def test_an_id_of_another_file_is_refused_and_a_file_of_such_ids_is_an_error(self, world, tmp_path):
        foreign, gold = record(green()) | {"item_id": "webshop_7"}, green()
        found = agenttraj.read_agenttraj(
            written(tmp_path, foreign, record(gold, actions=won(gold)), "no record"), world
        )
        assert [t.win for t in found.trajectories] == [True] and found.counts[
            "records that can't be read"
        ] == 2
        reasons = dict(found.refused)
        assert "expected an item_id such as" in reasons["sciworld_train.json, record 0"]
        assert "got `str`" in reasons["sciworld_train.json, record 2"]
        path = written(tmp_path, foreign)
        with pytest.raises(DataError, match=r"record 'webshop_7': expected an item_id such as sciworld_606"):
            agenttraj.read_agenttraj(path, world)

    def test_eef_data_sciworld_writes_a_file_that_stages_read(self, world, tmp_path):
        gold = green()
        path, out = written(tmp_path, record(gold, old=True, actions=won(gold))), tmp_path / "out.jsonl"
        arguments = ["data", "sciworld", str(path), str(out), "--benchmark", "sciworld_mini"]
        said = CliRunner().invoke(main.app, arguments)
        assert said.exit_code == 0, said.output
        assert "1  trajectories" in said.output and "0  won as written" in said.output
        (t,) = collect.read_demonstrations(str(out), envs.load("sciworld_mini", sizes="1/1/1")).trajectories
        assert t.win and world.goal(t.task_id) == gold.task
        CliRunner().invoke(main.app, [*arguments, "--as-written"])
        assert (
            not collect.read_demonstrations(str(out), envs.load("sciworld_mini", sizes="1/1/1"))
            .trajectories[0]
            .win
        )
