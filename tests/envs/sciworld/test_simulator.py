"""The simulator repeats itself: over loads, over processes, and as its own package has it; running tasks do not touch each other."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from helpers.sciworld_gold import GOLDEN_FILE, Gold, played, read

from eefcore.envs.sciworld.jvm import FLAGS, JavaError
from eefcore.envs.sciworld.simulator import Response, Simulator
from eefcore.envs.sciworld.simulator_pool import ResponseCache, SimulatorPool, SimulatorState
from eefcore.envs.sciworld.tasks import SCIWORLD, Task
from eefcore.errors import SimulatorError

pytestmark = [pytest.mark.java, pytest.mark.xdist_group("jvm")]

GOLD = list(read(GOLDEN_FILE))
BEES = Task("grow-fruit", 0)  # which draw lots at every step
ROAM = [
    "wait1",
    "open door",
    "0",
    "look around",
    "open door",
    "1",
    "go to kitchen",
    "go to outside",
    "inventory",
]


def show(simulator: Simulator, task: Task, actions: list[str]) -> list[Response]:
    """Everything that is seen, o_0 first."""
    world = simulator.load(*task)
    seen = [world.response, *(simulator.step(world, action) for action in actions)]
    simulator.forget(world)
    return seen


def wild(gold: Gold, n: int, seed: int) -> list[str]:
    """Actions of an episode in any order, and some that ask or fail."""
    return random.Random(seed).choices([*gold.actions, *ROAM, "focus on", "mix", "2"], k=n)


def same(gold: Gold, again: Gold) -> None:
    """What the file has is what is seen now, its score included; the first difference is told."""
    for i, (action, *there) in enumerate(zip(gold.actions, gold.observations, gold.scores, strict=True)):
        assert [again.observations[i], again.scores[i]] == there, f"{gold.task}: after {i}, {action!r}"
    if gold.first is not None:
        assert gold.first in (again.first, again.first.partition("\n")[2])


@pytest.mark.parametrize("gold", GOLD, ids=lambda gold: gold.task.kind)
def test_recorded_gold_paths_show_the_same_observations_again(simulator, gold):
    assert gold.scores[-1] == 100
    same(gold, played(simulator, gold.task, gold.actions))


def test_the_file_has_every_kind_and_is_small():
    assert [gold.task.kind for gold in GOLD] == [*SCIWORLD]
    assert GOLDEN_FILE.stat().st_size < 100_000


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_gold_paths_of_another_project_show_the_same_observations_again(simulator):
    if not (name := os.environ.get("EEF_SCIWORLD_GOLD")):
        pytest.skip(
            "EEF_SCIWORLD_GOLD names no file: JSON lines of task, variation, actions, observations, scores"
        )
    for gold in read(Path(name)):
        same(gold, played(simulator, gold.task, gold.actions))


def test_a_difference_to_the_file_is_noticed(simulator):
    gold = GOLD[-1]
    again = played(simulator, gold.task, gold.actions)
    with pytest.raises(AssertionError, match=r"after 1, "):
        same(gold, again._replace(scores=[again.scores[0], 7, *again.scores[2:]]))
    with pytest.raises(AssertionError, match=r"after 2, "):
        same(gold, again._replace(observations=[*again.observations[:2], "", *again.observations[3:]]))


def test_a_task_loaded_three_times_shows_the_same_observations(simulator):
    for gold in GOLD[::7]:
        actions = wild(gold, 15, seed=1)
        first, *again = (show(simulator, gold.task, actions) for _ in range(3))
        assert [seen == first for seen in again] == [True, True]


@pytest.mark.slow
def test_three_loads_in_two_processes_show_the_same(simulator):
    """In another order, so that what was loaded before can't matter."""
    plays = [(gold.task, wild(gold, 30, seed)) for gold in GOLD for seed in (0, 1)]
    here = [show(simulator, *play) for play in plays]
    other = Simulator()
    try:
        order = random.Random(0).sample([*range(len(plays))] * 3, 3 * len(plays))
        assert [i for i in order if show(other, *plays[i]) != here[i]] == []
    finally:
        other.close()
    order = random.Random(1).sample([*range(len(plays))] * 2, 2 * len(plays))
    assert [i for i in order if show(simulator, *plays[i]) != here[i]] == []


def test_heat_flows_the_same_way_each_time(simulator):
    """The reproducer of the simulator's issue 33: half of such runs in a stock Java make no steam."""
    actions = ["open door to kitchen", "go to kitchen", "pour counter into sink", "activate sink"]
    actions += ["use lighter on drawer", "look around"]
    runs = [show(simulator, Task("boil", 0), actions) for _ in range(8)]
    assert all(run == runs[0] for run in runs)
    assert "a burned drawer, a substance called steam." in runs[0][-1].observation


@pytest.mark.parametrize(
    "flags",
    [
        tuple(flag for flag in FLAGS if flag != "-XX:hashCode=2"),
        tuple(flag.replace("hashCode=2", "hashCode=5") for flag in FLAGS),
    ],
    ids=["not given", "another"],
)
def test_without_the_flag_nothing_is_started(flags):
    before = javas()
    with pytest.raises(
        SimulatorError, match=r"identity hash codes are \[.*expected \[1, 1\].* unset _JAVA_OPTIONS"
    ):
        Simulator(flags)
    assert javas() == before


def test_the_users_java_options_can_not_undo_the_flag_unnoticed(monkeypatch):
    monkeypatch.setenv("_JAVA_OPTIONS", "-XX:+UnlockExperimentalVMOptions -XX:hashCode=5")
    with pytest.raises(SimulatorError, match="this Java does not heed -XX:hashCode=2"):
        Simulator()


def test_tasks_side_by_side_do_not_touch_each_other(simulator):
    """Bees draw lots from one `Random` for all, and new things are numbered by one counter."""
    plays = [
        (BEES, ["wait"] * 4),
        (GOLD[14].task, GOLD[14].actions),
        (BEES, ["wait"] * 4),
        (GOLD[0].task, GOLD[0].actions),
    ]
    alone = [show(simulator, *play) for play in plays]
    running = [simulator.load(*task) for task, _ in plays]
    together = [[world.response] for world in running]
    turns = [i for i, (_, actions) in enumerate(plays) for _ in actions]
    random.Random(0).shuffle(turns)
    for i in turns:
        together[i].append(simulator.step(running[i], plays[i][1][len(together[i]) - 1]))
    for world in running:
        simulator.forget(world)
    assert together == alone


def test_a_gold_path_in_between_changes_nothing(simulator):
    alone = show(simulator, BEES, ["wait"] * 2)
    world = simulator.load(*BEES)
    seen = [world.response, simulator.step(world, "wait")]
    assert simulator.gold("find-non-living-thing", 2)[-1].startswith("move ")
    assert [*seen, simulator.step(world, "wait")] == alone
    simulator.forget(world)


def test_threads_take_turns(simulator):
    plays = [(gold.task, gold.actions) for gold in GOLD[10:14]]
    alone = [show(simulator, *play) for play in plays]
    together: dict[int, list[Response]] = {}
    threads = [
        threading.Thread(target=lambda i=i: together.update({i: show(simulator, *plays[i])}))
        for i in range(len(plays))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[i] for i in range(len(plays))] == alone


def test_a_loaded_task_has_a_score_of_its_own(simulator):
    """After a win the simulator's own interface would tell the winner's, until something is done."""
    won = GOLD[11]
    assert show(simulator, won.task, won.actions)[-1] == Response(won.observations[-1], 100, True)
    first, task, objects = show(simulator, GOLD[0].task, ["task", "objects"])
    assert first.score == 0 and not first.completed
    assert task[1:] == objects[1:] == first[1:]
    assert task.observation.startswith("Task description:\nYour task is to boil")


def test_free_commands_answer_about_their_own_task(simulator):
    one, other = (simulator.load(*gold.task) for gold in (GOLD[0], GOLD[4]))
    simulator.step(other, "open door")
    told = [simulator.step(world, "task").observation for world in (one, other)]
    assert told == [f"Task description:\n{w.interface.getTaskDescription()}" for w in (one, other)]
    assert told[0] != told[1]


def test_an_exception_of_the_simulator_is_a_failure_for_good(simulator):
    class Broken:
        def step(self, command: str) -> Response:
            raise JavaError("java.util.NoSuchElementException: None.get")

    world = simulator.load(*GOLD[0].task)
    working, world.interface = world.interface, Broken()
    assert simulator.step(world, "mix") == Response("java.util.NoSuchElementException: None.get", -100, True)
    world.interface = working
    simulator.forget(world)


def test_a_process_without_memory_is_ended_and_nothing_is_taken_for_a_failed_task(simulator):
    """An answer after it could be anything, and -100 would be recorded as the task's own."""

    class Large:
        def step(self, command: str) -> Response:
            return other.jvm.classes.java.lang.StringBuilder(2_000_000_000)

    other = Simulator()
    world = other.load(*GOLD[0].task)
    world.interface = Large()
    with pytest.raises(SimulatorError, match=r"ran out of memory and was ended; load the task anew"):
        other.step(world, "look around")
    assert not other.jvm.alive and simulator.jvm.alive


def test_a_gold_path_is_worked_out_again_when_its_process_ends(monkeypatch):
    simulators, asked, gold = SimulatorPool(), [], Simulator.gold

    def ending_first(self: Simulator, task: str, variation: int) -> tuple[str, ...]:
        asked.append(self.jvm.pid)
        if len(asked) == 1:
            self.close()
        return gold(self, task, variation)

    monkeypatch.setattr(Simulator, "gold", ending_first)
    with closing(simulators):
        assert simulators.gold(Task("find-non-living-thing", 0))[-1].startswith("move ")
    assert len(set(asked)) == 2


def test_no_file_is_left_and_no_folder_held(simulator, tmp_path, monkeypatch):
    """The simulator would write object_type_ids.tsv wherever it is started, at each new kind of thing."""
    monkeypatch.chdir(tmp_path)
    show(simulator, Task("measure-melting-point-known-substance", 5), ["look around"])
    process = psutil.Process(simulator.jvm.pid)
    assert process.cwd() == os.path.abspath(os.sep)
    assert not [p for p in (tmp_path, Path(process.cwd())) if (p / "object_type_ids.tsv").exists()]
    assert not [f.path for f in process.open_files() if f.path.endswith(".tsv")]


def test_many_tasks_take_little_memory(simulator):
    """128 wait in one process by default. The benchmark plays more."""
    running = [simulator.load(*GOLD[i % len(GOLD)].task) for i in range(60)]
    resident = psutil.Process(simulator.jvm.pid).memory_info().rss
    for world in running:
        simulator.forget(world)
    assert resident < 400e6


@pytest.mark.slow
def test_steps_are_those_of_the_package(simulator):
    """Its own environment, in a Java with the same flags: observations and scores to the letter."""
    plays = [(gold.task, [*gold.actions[:9], *wild(gold, 4, 3)]) for gold in GOLD[::5]]
    plays.append(
        (GOLD[0].task, ["objects", "help", "task", "open door", "", "open", "go", "focus on agent", "wait1"])
    )
    code = """
import json, sys
from scienceworld import ScienceWorldEnv
env = ScienceWorldEnv("", envStepLimit=10**9)
for (task, variation), actions in json.load(sys.stdin):
    env.load(task, variation, "")
    env.step("look around")
    print(json.dumps([(o, i["score"]) for o, _, _, i in map(env.step, actions)]))
"""
    told = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(plays),
        env=os.environ | {"JAVA_TOOL_OPTIONS": " ".join(FLAGS)},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = [
        [tuple(seen) for seen in json.loads(line)] for line in told.stdout.splitlines() if line[:1] == "["
    ]
    assert [[seen[:2] for seen in show(simulator, *play)[1:]] for play in plays] == theirs


@pytest.fixture
def fresh() -> Iterator[SimulatorPool]:
    """A pool in which no task runs yet."""
    with closing(SimulatorPool()) as simulators:
        yield simulators


class TestSimulatorPool:
    def test_a_state_is_cached_and_its_task_played_on_from_there(self, fresh, monkeypatch):
        steps = counted(monkeypatch)
        cache, actions = ResponseCache(), tuple(GOLD[12].actions)
        ends = [
            fresh.response(SimulatorState(GOLD[12].task, actions[:n]), cache) for n in range(len(actions) + 1)
        ]
        assert [seen.observation for seen in ends[1:]] == GOLD[12].observations
        told = ["look around", *actions]  # each once, behind the look around of the load
        assert steps == told
        assert [
            fresh.response(SimulatorState(GOLD[12].task, actions[:n]), cache) for n in range(len(actions) + 1)
        ] == ends
        assert steps == told

    def test_a_way_back_is_played_again_and_compared(self, fresh, monkeypatch):
        cache, actions = ResponseCache(), tuple(GOLD[12].actions)
        fresh.response(SimulatorState(GOLD[12].task, actions[:4]), cache)
        steps = counted(monkeypatch)
        fresh.response(SimulatorState(GOLD[12].task, (*actions[:2], "inventory")), cache)
        assert steps == ["look around", *actions[:2], "inventory"]

    def test_a_simulator_that_dies_is_replaced_and_the_state_is_the_same(self):
        simulators, cache, place = (
            SimulatorPool(),
            ResponseCache(),
            SimulatorState(GOLD[12].task, tuple(GOLD[12].actions[:3])),
        )
        simulators.response(SimulatorState(place.task, place.commands[:2]), cache)
        (pid,) = simulators.pids
        psutil.Process(pid).kill()
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=5)
        assert simulators.response(place, cache).observation == GOLD[12].observations[2]
        assert simulators.pids and simulators.pids != (pid,)
        simulators.close()
        assert simulators.pids == ()

    def test_the_cache_and_the_idle_tasks_are_bounded(self, simulators):
        cache, few = ResponseCache(size=3), [SimulatorState(GOLD[12].task, ("wait1",) * n) for n in range(6)]
        for place in few:
            cache.add(place, Response("x", 0, False))
        assert [cache.get(place) is not None for place in few] == [False] * 3 + [True] * 3
        assert len(simulators._idle) <= 128

    @pytest.mark.slow
    def test_several_simulators_show_the_same_to_several_threads(self):
        simulators, seen = SimulatorPool(simulators=2), {}
        places = [SimulatorState(gold.task, tuple(gold.actions[:5])) for gold in GOLD[:8]]

        def look(first: int) -> None:
            for i in range(first, len(places), 2):
                seen[i] = simulators.response(places[i], ResponseCache()).observation

        threads = [threading.Thread(target=look, args=(first,)) for first in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(simulators.pids) == 2
        assert [seen[i] for i in range(len(places))] == [gold.observations[4] for gold in GOLD[:8]]
        simulators.close()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What simulators are told from here on."""
    told, step = [], Simulator.step

    def counting(self: Simulator, world: object, command: str) -> Response:
        told.append(command)
        return step(self, world, command)

    monkeypatch.setattr(Simulator, "step", counting)
    return told


def javas() -> set[int]:
    """Java processes of ours."""
    return {p.pid for p in psutil.Process().children(recursive=True) if "java" in p.name()}
