"""Taxi, an environment of Gymnasium's own, is played, cloned and explored from; ours is played through Gymnasium."""

from __future__ import annotations

from collections import deque
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest
from typer.testing import CliRunner

from eefcore import envs
from eefcore.cli import main
from eefcore.envs.gym import to_gymnasium
from eefcore.envs.registry import max_turns
from eefcore.errors import ParamsError
from eefcore.experts import collect
from eefcore.policies.scripted import ScriptedPolicy
from eefcore.rollout.exploration import check_replays, expert_starts, initial_starts
from eefcore.rollout.rollout import rollout
from eefcore.selection.algorithm import known_outcomes, recovery_state
from eefcore.storage.records import write_records
from eefcore.testing import BenchmarkContract, EnvironmentContract
from eefcore.types import History, State, Trajectory

pytestmark = pytest.mark.skipif(
    find_spec("gymnasium") is None, reason="Gymnasium is not installed: pip install -e '.[gymnasium]'"
)

MOVES = ("south", "north", "east", "west", "pickup", "dropoff")
TAXI = f"gymnasium?id=Taxi-v4&win=20&count=last&actions={'/'.join(MOVES)}&max_turns=40"


@pytest.fixture(scope="module")
def taxi():
    return envs.load(TAXI, sizes="6/2/3", seed=0)


def solution(seed: int) -> tuple[str, ...]:
    """Return the shortest way to bring a passenger home, found in the environment's own table of transitions."""
    import gymnasium

    env: Any = gymnasium.make("Taxi-v4").unwrapped
    start, _ = env.reset(seed=seed)
    seen, waiting = {start}, deque([(start, ())])
    while waiting:
        state, way = waiting.popleft()
        for action, name in enumerate(MOVES):
            ((_, then, _, done),) = env.P[state][action]
            if done:
                return (*way, name)
            if then not in seen:
                seen.add(then)
                waiting.append((then, (*way, name)))
    raise AssertionError("no way")


class Driver(ScriptedPolicy):
    """A driver that knows the way, and goes `astray` at its third action."""

    def __init__(self, world, *, astray: bool = False) -> None:
        ways = {task: solution(seed) for task, seed in world.goals.items()}

        def next_action(history: History) -> str:
            way, done = ways[history.task_id], [a for a in history.actions if a in MOVES]
            if astray and len(done) >= 2:
                return "fly"
            return way[len(done)]

        super().__init__(next_action, "driver")


@cache
def one_task():
    return envs.load(TAXI, sizes="1/0/0", seed=0)


class TestTaxi(EnvironmentContract):
    @property
    def task(self):
        return one_task().tasks("train")[0]

    @property
    def script(self):
        return solution(one_task().goals[self.task])

    def make(self):
        return one_task().make()


class TestTaxis(BenchmarkContract):
    def load(self):
        return envs.load(TAXI, sizes="4/2/2", seed=0)


def play(world, policy, starts) -> list[Trajectory]:
    return rollout(policy, world.make, starts, max_turns=world.max_turns)


def test_a_task_begins_with_what_the_environment_draws_in_words(taxi):
    env, task = taxi.make(), taxi.tasks("train")[0]
    shown = env.reset(task)
    assert shown == taxi.instruction(task) and "\x1b" not in shown
    assert shown.endswith("Actions: south, north, east, west, pickup, dropoff")
    assert "<magenta: " in shown and "<blue: " in shown, (
        "the colours say where the passenger is and wants to go"
    )
    refused = env.step("fly")
    assert (
        refused.observation.startswith("That is no action here; choose one of south, north")
        and not refused.done
    )
    assert env.step(" south ").observation != shown


def test_a_win_is_the_passenger_brought_home(taxi):
    tasks = taxi.tasks("train")
    played = play(taxi, Driver(taxi), initial_starts(taxi, tasks, (0.0,), seed=0))
    assert {t.outcome for t in played} == {"win"} and [t.reward for t in played] == [1.0] * len(tasks)
    lost = play(taxi, Driver(taxi, astray=True), initial_starts(taxi, tasks[:1], (0.0,), seed=0))
    assert [t.outcome for t in lost] == ["turn_limit"] and taxi.max_turns == 40


def test_an_experts_file_is_cloned_and_explored_from(taxi, tmp_path):
    """Failures of an expert in another program's file: each state is restored by playing its actions again."""
    tasks = taxi.tasks("train")
    played = play(taxi, Driver(taxi, astray=True), initial_starts(taxi, tasks, (0.0,), seed=0))
    write_records(tmp_path / "ours.jsonl", played, kind="trajectories", card=taxi.card)
    said = CliRunner().invoke(
        main.app,
        ["data", "export", str(tmp_path / "ours.jsonl"), str(tmp_path / "eto.jsonl"), "--format", "eto"],
    )
    assert said.exit_code == 0, said.output
    experts = collect.expert_data(
        taxi, [], str(tmp_path / "eto.jsonl"), seed=0, budget=None, allocation="each"
    ).trajectories
    replays = check_replays(taxi, experts)
    assert replays.refused == [] and len(replays.replayable) == len(tasks)
    starts = expert_starts(replays.replayable, 3, 0.0, seed=0)
    assert {len(s.history) for s in starts} == {10, 20, 30}
    explored = play(taxi, Driver(taxi), starts)
    left = [taxi.max_turns - len(start.history) for start in starts]
    need = [len(solution(taxi.goal(start.history.task_id))) - 2 for start in starts]
    won = [t.outcome == "win" for t in explored]
    assert won == [n <= turns for n, turns in zip(need, left, strict=True)] and {*won} == {True, False}
    assert all(t.n_expert == len(s.history) for t, s in zip(explored, starts, strict=True))
    again = play(taxi, Driver(taxi), initial_starts(taxi, tasks, (0.0,), seed=0))
    outcomes = known_outcomes([*explored, *again])
    recovery = [recovery_state(expert, outcomes) for expert in replays.replayable]
    lost = {start.history.state for start, win in zip(starts, won, strict=True) if not win}
    assert {state for state in recovery if state} == lost, "where too few actions are left to win"


def test_equal_beginnings_are_one_task():
    """FrozenLake begins on the same field for every seed: a test task would be a training task."""
    with pytest.raises(ParamsError, match=r"expected 3 tasks that begin differently, got 1 from 120 seeds"):
        envs.load("gymnasium?id=FrozenLake-v1&is_slippery=false", sizes="1/1/1", seed=0)
    lake = envs.load("gymnasium?id=FrozenLake-v1&actions=left/down/right/up", sizes="1/0/0", seed=0)
    env, (task,) = lake.make(), lake.tasks("train")
    env.reset(task)
    seen = [env.step("right").observation for _ in range(3)]
    other = lake.make()
    assert other.restore(State(task, ("right",) * 3)) == seen[-1], "slippery ice slips alike after one seed"


def test_other_worlds_have_other_cards(taxi):
    rainy = envs.load(f"{TAXI}&is_rainy=true", sizes="6/2/3", seed=0)
    assert rainy.card.key != taxi.card.key
    assert "arguments" in rainy.card.differences(taxi.card)
    assert rainy.card.facts["arguments"] == "is_rainy=True"


def test_the_limit_of_an_environment_is_that_of_its_episodes():
    assert max_turns("gymnasium?id=Taxi-v4", data="", sizes="1/0/0", seed=0) == 200
    assert max_turns(TAXI, data="", sizes="1/0/0", seed=0) == 40


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gymnasium", "expected the id of an environment"),
        ("gymnasium?id=Taxi-v99", "there is no such environment"),
        ("gymnasium?id=nowhere_to_be_found:Taxi-v4", "there is no such environment"),
        ("gymnasium?id=Taxi-v4&count=mean", "expected count sum or last"),
        ("gymnasium?id=Taxi-v4&win=much", "expected win=1, max_turns=50"),
        ("gymnasium?id=Taxi-v4&actions=a/b", "a name for each of a discrete space"),
        ("gymnasium?id=CartPole-v1", "expected observations that are text, or render_mode=ansi"),
    ],
)
def test_what_is_no_world_of_text_is_refused(name, expected):
    with pytest.raises(ParamsError, match=expected):
        envs.load(name, sizes="1/0/0", seed=0)


def test_ours_is_played_through_gymnasium(mini):
    from gymnasium.utils.env_checker import check_env

    env = to_gymnasium(mini, "train")
    first, info = env.reset(seed=3)
    assert env.reset(seed=3)[0] == first == mini.instruction(info["task"])
    own = mini.make()
    own.reset(info["task"])
    for action in ('search[{"product": "towel"}]', "nonsense"):
        seen, reward, done, cut, _ = env.step(action)
        assert (seen, reward, done) == tuple(own.step(action)) and not cut and env.render() == seen
    for _ in range(mini.max_turns - 2):
        *_, cut, _ = env.step("nonsense")
    assert cut
    task = mini.tasks("train")[1]
    assert env.reset(options={"task": task})[1] == {"task": task}
    check_env(to_gymnasium(mini, "dev"), skip_render_check=True)
