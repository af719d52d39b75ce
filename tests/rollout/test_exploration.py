"""The starts of an exploration, their seeds, and the trajectories that replay."""

from itertools import chain

import msgspec
import pytest
from helpers.toy_shop import TASKS, ToyShop, shopper
from hypothesis import given, settings
from hypothesis import strategies as st

from eefcore.policies.scripted import ScriptedPolicy
from eefcore.rollout import finders
from eefcore.rollout.exploration import (
    RefusedTrajectory,
    check_replays,
    count_exploration,
    expert_starts,
    explore,
    initial_starts,
    temperatures,
)
from eefcore.rollout.finders import Probe
from eefcore.rollout.rollout import Start, rollout
from eefcore.selection.algorithm import explored_steps
from eefcore.storage.journal import Journal
from eefcore.types import Card, History, Mistake, Step, StopReason, Trajectory


class Toys:
    """The toy shop as a benchmark."""

    skills, max_turns, card = {}, 10, Card("toys", {})

    def make(self):
        return ToyShop()


TOYS = Toys()


def experts(source="strong", tasks=TASKS):
    starts = [Start(History(task, ToyShop().reset(task))) for task in tasks]
    rolled = rollout(ScriptedPolicy(shopper, source), ToyShop, starts, max_turns=10)
    return [msgspec.structs.replace(t, n_expert=len(t)) for t in rolled]


def long_expert(n=12, source="strong", marks=()):
    """Return a trajectory that looks around for `n` actions."""
    steps = tuple(Step(f"o{i}", f"a{i}", (i,), (-1.0,)) for i in range(n))
    return Trajectory(history=History("t", "end", steps), reward=0.0, n_expert=n, source=source, marks=marks)


@pytest.mark.parametrize(
    "samples, low, high, expected",
    [
        (1, 0.2, 0.95, (0.95,)),
        (2, 0.2, 0.95, (0.2, 0.95)),
        (6, 0.2, 0.95, (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)),
        (3, 1.0, 1.0, (1.0, 1.0, 1.0)),
        (0, 0.2, 0.95, ()),
    ],
)
def test_temperatures_are_spread_from_t_low_to_t_high(samples, low, high, expected):
    assert temperatures(samples, low, high) == pytest.approx(expected)


# Line 6 -------------------------------------------------------------------------------------------------


def test_every_task_starts_once_for_each_temperature():
    starts = initial_starts(TOYS, TASKS, (0.2, 0.9), seed=3)
    assert [(s.history.task_id, s.sample, s.sampling.temperature) for s in starts] == [
        (task, k, t) for k, t in enumerate((0.2, 0.9)) for task in TASKS
    ]
    assert all(s.history == History(s.history.task_id, ToyShop().reset(s.history.task_id)) for s in starts)


# Lines 7–9 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 3, 6, 12])
@pytest.mark.parametrize("M", [0, 1, 5])
def test_expert_starts_are_the_explored_steps(n, M):
    starts = expert_starts([long_expert(n)], M, 0.5, seed=0)
    assert [len(s.history) for s in starts] == list(explored_steps(n, M))
    assert all(s.sampling.temperature == 0.5 and s.sample == 0 for s in starts)


def test_a_start_is_the_text_of_the_experts_history_without_its_ids():
    e = long_expert()
    for start in expert_starts([e], 5, 0.5, seed=0):
        at = e.history.at(len(start.history))
        assert (start.history.state, start.history.observation) == (at.state, at.observation)
        assert [s.observation for s in start.history.steps] == [s.observation for s in at.steps]
        assert not any(s.tokens or s.logps for s in start.history.steps)


def test_a_start_keeps_the_mistakes_before_it_and_no_later_ones():
    marks = tuple(Mistake(i, f"slip {i}") for i in range(0, 12, 2))
    for start in expert_starts([long_expert(marks=marks)], 5, 0.5, seed=0):
        assert start.marks == marks[: -(-len(start.history) // 2)]


# Seeds --------------------------------------------------------------------------------------------------


def all_seeds(seed, found):
    starts = [*initial_starts(TOYS, TASKS, (0.2, 0.9), seed=seed), *expert_starts(found, 5, 0.5, seed=seed)]
    return [s.sampling.seed for s in starts]


def test_seeds_differ_between_episodes_and_repeat_between_runs():
    two = [*experts("strong"), *experts("weak"), long_expert(source="strong"), long_expert(source="weak")]
    first = all_seeds(7, two)
    assert len(set(first)) == len(first) > 20  # twins of two experts as well
    assert all_seeds(7, two) == first
    assert not set(all_seeds(8, two)) & set(first)
    assert all(0 <= s < 2**48 for s in first)


def test_an_episodes_seed_does_not_depend_on_what_else_is_explored():
    alone = expert_starts([long_expert()], 5, 0.5, seed=7)
    among = expert_starts([*experts(), long_expert()], 5, 0.5, seed=7)
    assert among[-len(alone) :] == alone
    (first,) = initial_starts(TOYS, TASKS[2:3], (0.9,), seed=7)
    assert first == initial_starts(TOYS, TASKS, (0.9,), seed=7)[2]


# Round by round -----------------------------------------------------------------------------------------


def buy_at_once(history):
    """Buy the task's item at once: a win on the right shelf and a loss on any other."""
    return f"buy {history.task_id}"


WANDERED = ("next", "back", "next", "next", "back", "next", "buy green sock")  # over shelves 0 1 0 1 2 1 2


def lost_experts(tasks=TASKS):
    """Return experts that buy the same thing for every task."""
    starts = [Start(History(task, ToyShop().reset(task))) for task in tasks]
    rolled = rollout(
        ScriptedPolicy(lambda history: WANDERED[len(history)], "lost"), ToyShop, starts, max_turns=10
    )
    return [msgspec.structs.replace(t, n_expert=len(t)) for t in rolled]


def played(starts):
    return rollout(ScriptedPolicy(buy_at_once, "buy_at_once"), ToyShop, starts, max_turns=10)


def exploration(finder, play, on_round=lambda _: None):
    initial = initial_starts(TOYS, TASKS, (0.9,), seed=7)
    return explore(initial, finder, play, temperature=0.5, seed=7, on_round=on_round)


def load(name, experts, M=5):
    return finders.load_finder(name, experts, M, seed=7)


def test_the_fixed_finder_takes_one_round_with_s_0_first():
    batches = []
    rounds = exploration(load("fixed", lost_experts()), lambda i, s: (batches.append((i, s)), played(s))[1])
    initial, later = (
        initial_starts(TOYS, TASKS, (0.9,), seed=7),
        expert_starts(lost_experts(), 5, 0.5, seed=7),
    )
    assert batches == [(0, [*initial, *later])]
    assert rounds == [played([*initial, *later])]


def test_rounds_are_reported_in_order_before_they_are_played():
    told = []
    rounds = exploration(
        load("binary", lost_experts()),
        lambda i, s: (told.append(("played", i, len(s))), played(s))[1],
        lambda n: told.append(("on_round", n)),
    )
    sizes = [len(r) for r in rounds]
    assert told == [e for i, n in enumerate(sizes) for e in (("on_round", n), ("played", i, n))]
    assert sizes[0] == len(TASKS) and len(sizes) > 3
    assert all(t.n_expert for r in rounds[1:] for t in r)


def test_a_second_simulation_of_a_state_has_another_seed_and_sample_number():
    (e,) = [e for e in lost_experts() if e.task_id == "red sock"][:1]
    starts = []

    class Twice:
        experts, budget = [e], 3

        def ask(self, seen):
            return [] if seen else [Probe(0, 2, k) for k in range(3)]

    exploration(Twice(), lambda _, s: (starts.extend(s), played(s))[1])
    again = starts[len(TASKS) :]
    assert [s.sample for s in again] == [0, 1, 2] and len({s.sampling.seed for s in again}) == 3
    assert again[0] == expert_starts([e], 5, 0.5, seed=7)[1]


@pytest.mark.parametrize("budget", [0, 1, 4, 7])
def test_probes_beyond_the_budget_are_not_played(budget):
    finder = load("binary", lost_experts())
    finder.budget = budget
    whole = [*chain.from_iterable(exploration(load("binary", lost_experts()), lambda _, s: played(s)))]
    some = [*chain.from_iterable(exploration(finder, lambda _, s: played(s)))]
    assert some == whole[: len(TASKS) + budget] and len(whole) > len(TASKS) + 7


class Killed(BaseException):
    pass


@pytest.mark.parametrize("name", ["fixed", "binary", "bandit"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_an_exploration_killed_at_any_point_ends_with_the_same_simulations(tmp_path_factory, name, data):
    """A kill inside a round, between chunks or between rounds repeats no finished episode."""

    def journaled(folder, killed_after):
        count = 0

        def work(part):
            nonlocal count
            count += len(part)
            if count > killed_after:
                raise Killed
            return played(part)

        return lambda i, starts: Journal(folder / f"{i}.jsonl", Trajectory).run(starts, 2, work)

    def files(folder):
        return {p.name: p.read_bytes() for p in folder.iterdir()}

    whole, cut = (tmp_path_factory.mktemp(n) for n in ("whole", "cut"))
    expected = exploration(load(name, lost_experts()), journaled(whole, 10**6))
    n = sum(map(len, expected))
    with pytest.raises(Killed):
        exploration(
            load(name, lost_experts()), journaled(cut, data.draw(st.integers(0, n - 1), label="dies after"))
        )
    last = max(cut.iterdir(), key=lambda p: int(p.stem))
    size = data.draw(st.integers(last.read_bytes().index(b"\n") + 1, last.stat().st_size), label="cut at")
    last.write_bytes(last.read_bytes()[:size])
    kept = sum(p.read_bytes().count(b'"history"') // 2 * 2 for p in cut.iterdir())
    assert exploration(load(name, lost_experts()), journaled(cut, n - kept + 2)) == expected
    assert files(cut) == files(whole)


# Which can be explored from at all ----------------------------------------------------------------------


def changed(t, i):
    steps = [
        msgspec.structs.replace(s, observation="!" if j == i else s.observation)
        for j, s in enumerate(t.history.steps)
    ]
    return msgspec.structs.replace(t, history=History(t.task_id, t.history.observation, tuple(steps)))


def test_trajectories_that_replay_are_kept_and_others_are_refused_with_the_step():
    whole = experts()
    odd = changed(whole[-1], 1)
    done = check_replays(TOYS, [whole[0], odd, *whole[1:]])
    assert done.replayable == whole
    (refused,) = done.refused
    assert refused.trajectory is odd
    assert "o_1 is now 'blue hat, blue sock', recorded '!'" in refused.reason


def test_an_action_after_the_end_is_refused_with_its_error():
    (t,) = experts(tasks=("red hat",))
    longer = msgspec.structs.replace(t, history=t.history.then("next", "blue hat, blue sock"))
    done = check_replays(TOYS, [longer])
    assert done.replayable == [] and done.refused[0].reason.startswith("EpisodeOver: the shop is closed")


def test_a_task_of_another_shop_is_refused(mini):
    foreign = long_expert()
    done = check_replays(mini, [foreign])
    assert done.replayable == [] and done.refused[0].trajectory is foreign
    assert done.refused[0].reason.startswith("asks for no task of this benchmark: no task 't'")


def test_no_trajectories_make_an_empty_replay_check():
    assert check_replays(TOYS, []) == ([], [])


# What it found ------------------------------------------------------------------------------------------


def sim(task, reward, n_expert=0, stop=StopReason.DONE):
    steps = tuple(Step("o", "a") for _ in range(3))
    return Trajectory(history=History(task, "end", steps), reward=reward, n_expert=n_expert, stop=stop)


def test_counts_of_an_exploration():
    tried = [sim("a", 1.0, 3), sim("b", 0.0, 3), sim("c", 0.0, 3), sim("d", 0.0, 3)]
    sims = [
        sim("a", 0.0),
        sim("b", 1.0),  # solved alone
        sim("c", 0.0),
        sim("d", 0.0, stop=StopReason.MODEL_FAILURE),
        sim("a", 1.0, 1),
        sim("b", 1.0, 1),
        sim("c", 1.0, 1),  # solved from an expert's state alone
        sim("d", 0.0, 1, stop=StopReason.TURN_LIMIT),
    ]
    told = count_exploration("abcd", tried, [sims[:5], sims[5:]], [RefusedTrajectory(tried[0], "changed")])
    assert told._asdict() == {
        "n": 8,
        "rounds": 2,
        "n_expert_states": 4,
        "win_rate": 1 / 3,
        "win_rate_expert_states": 3 / 4,
        "newly_solved": 2 / 4,
        "by_expert_states": 1 / 4,
        "per_newly_solved": 4.0,
        "kept_length": 1.0,
        "unjudged": 1,
        "refused": 1,
    }


def test_a_task_that_no_expert_tried_is_counted():
    told = count_exploration(
        "abcd", [sim("a", 1.0, 3)], [[sim("a", 0.0), sim("b", 1.0), sim("c", 0.0), sim("d", 0.0)]], []
    )
    assert told.newly_solved == 1 / 4


def test_counts_of_an_exploration_without_simulations():
    told = count_exploration([], [], [], [])._asdict()
    assert [name for name, value in told.items() if value != value] == ["per_newly_solved", "kept_length"]
    assert {value for value in told.values() if value == value} == {0}


def test_kept_length_is_the_mean_expert_actions_of_each_tasks_best_solution():
    tried = [sim("a", 0.0, 3), sim("b", 0.0, 3), sim("c", 1.0, 3)]
    sims = [sim("a", 0.0), sim("b", 0.0), sim("c", 0.0), sim("a", 1.0, 2), sim("a", 1.0, 1), sim("b", 1.0, 2)]
    told = count_exploration("abc", tried, [[*sims, sim("c", 1.0, 1), sim("b", 0.0, 1)]], [])
    assert (told.by_expert_states, told.kept_length, told.per_newly_solved) == (2 / 3, 1.5, 5 / 2)
