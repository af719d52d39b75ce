"""The states that each finder asks for, on outcomes that repeat and on outcomes that do not."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import ParamsError
from eefcore.rollout import finders
from eefcore.rollout.finders import Probe
from eefcore.selection.algorithm import explored_steps, outcomes, recovery_state
from eefcore.types import History, State, Step, StopReason, Trajectory

NAMES = ("fixed", "binary", "bandit")
each = pytest.mark.parametrize("name", NAMES)


def expert(actions, reward=0.0, task="t", source="strong"):
    steps = tuple(Step(f"o{i}", a) for i, a in enumerate(actions))
    return Trajectory(history=History(task, "end", steps), reward=reward, n_expert=len(steps), source=source)


def simulation(history, won, sample=0, stop=StopReason.DONE):
    ended = history.then("buy", "end")
    return Trajectory(history=ended, reward=float(won), n_expert=len(history), sample=sample, stop=stop)


def explored(finder, wins, *, most=None):
    """Return the rounds of probes and all simulations; `wins(state, sample)` is None for an infrastructure failure.

    As `exploration.explore`: s_0 with the first probes, then round by round within the budget.
    """
    tasks = dict.fromkeys(e.task_id for e in finder.experts)
    left = finder.budget if most is None else most
    rounds, seen = [], []
    while True:
        requests = finder.ask(seen)[:left]
        starts = [(History(task, "o0"), 0) for task in tasks] if not rounds else []
        starts += [(finder.experts[p.expert].history.at(p.step), p.sample) for p in requests]
        if not starts:
            return rounds, seen
        won = [wins(h.state, sample) for h, sample in starts]
        seen = seen + [
            simulation(h, bool(w), sample, StopReason.DONE if w is not None else StopReason.MODEL_FAILURE)
            for (h, sample), w in zip(starts, won, strict=True)
        ]
        rounds.append(requests)
        left -= len(requests)


def by_step(line):
    """One trajectory's outcomes from s_0, s_1, …: `W`, `L`, or `?` for spoilt."""
    return lambda state, _: {"W": True, "L": False, "?": None}[line[len(state.actions)]]


def steps(rounds):
    return [[p.step for p in requests] for requests in rounds]


# The grid, on a trajectory of eight actions with l = 1 ---------------------------------------------------


def test_fixed_asks_for_one_round_whatever_the_outcomes():
    two = [expert("abcdefghijkl"), expert("abc", task="u")]
    finder = finders.load_finder("fixed", two, 5, seed=0)
    rounds, seen = explored(finder, lambda *_: True)
    assert rounds == [[Probe(0, i) for i in (2, 4, 6, 8, 10)] + [Probe(1, 1), Probe(1, 2)]]
    assert len(seen) == 2 + 7 and finder.budget == 7


def test_fixed_simulates_each_state_repeats_times():
    finder = finders.load_finder("fixed", [expert("abcd")], 3, repeats=2, seed=0)
    rounds, _ = explored(finder, lambda *_: True)
    assert rounds == [[Probe(0, i, n) for n in (0, 1) for i in (1, 2, 3)]] and finder.budget == 6
    with pytest.raises(ParamsError, match="repeats 2 is for the fixed finder, not for binary; set it to 1"):
        finders.load_finder("binary", [expert("abcd")], 3, repeats=2, seed=0)


@pytest.mark.parametrize(
    "line, requests",
    [
        # s_0 … s_5; nobody won: the middle, then the longest stretch left, the later of equals
        ("LLLLLL", [3, 5, 2, 4, 1]),
        ("LLLWWW", [3, 2]),  # a win: bisect down to the fewest expert actions
        ("LWWWWW", [3, 2, 1]),
        ("LLWWWW", [3, 2, 1]),
        ("LLLLLW", [3, 5, 4]),
        ("LLLLWW", [3, 5, 4]),
        ("LLWLLL", [3, 5, 2, 1]),  # wins that do not last are found all the same
        ("LWLLLL", [3, 5, 2, 4, 1]),
        ("LLLLWL", [3, 5, 2, 4]),
        # π_θ alone won: the last state first
        ("WWWWWL", [5, 3, 4]),  # bisect for the first failure
        ("WWWLLL", [5, 3, 2, 4]),  # … and behind it hunt for what recovers
        ("WLLLLL", [5, 3, 2, 1, 4]),
        ("WLLWLL", [5, 3, 4]),  # s_4, and not the earlier fall: outcomes alternate
        ("WLLLWL", [5, 3, 2, 1, 4]),
        ("WWWWWW", [5, 3, 2, 4, 1]),  # hunt for a failure
        ("WWWLWW", [5, 3, 2]),
        ("WLLWWW", [5, 3, 2, 1]),
        # spoilt: neither, and not asked again
        ("L?????", [3, 5, 2, 4, 1]),
        ("L??WWW", [3, 2, 1]),
        ("LLL?LW", [3, 5, 2, 4]),
        ("?LLWWW", [3, 2]),
        ("WWWWW?", [5, 3, 2, 4, 1]),
    ],
)
def test_binary_on_a_failed_expert(line, requests):
    rounds, _ = explored(finders.load_finder("binary", [expert("abcdefgh")], 5, seed=0), by_step(line))
    assert steps(rounds) == [[]] + [[i] for i in requests]


@pytest.mark.parametrize(
    "line, requests",
    [
        ("WLLLLL", []),  # nothing to learn
        ("LLLLLL", [3, 5]),  # its own win stands at its end
        ("LWWWWW", [3, 2, 1]),
        ("LLLWWW", [3, 2]),
    ],
)
def test_binary_on_an_expert_that_won(line, requests):
    rounds, _ = explored(finders.load_finder("binary", [expert("abcdefgh", 1.0)], 5, seed=0), by_step(line))
    assert steps(rounds) == [[]] + [[i] for i in requests]


def test_binary_asks_for_no_state_of_a_task_that_another_trajectory_solved():
    won, lost = expert("abcdefgh", 1.0), expert("mnopqrst", source="weak")
    finder = finders.load_finder("binary", [lost, won], 5, seed=0)
    rounds, _ = explored(finder, lambda *_: False)
    assert {p.expert for requests in rounds for p in requests} == {1}


def test_binary_stops_on_all_trajectories_of_a_task_when_one_wins():
    two = [expert("abcdefgh"), expert("mnopqrst", source="weak")]
    finder = finders.load_finder("binary", two, 5, seed=0)
    rounds, _ = explored(finder, lambda s, _: s.actions[:1] == ("m",))
    assert rounds[:2] == [[], [Probe(0, 3), Probe(1, 3)]]
    assert {p.expert for requests in rounds[2:] for p in requests} == {1}


def test_binary_looks_only_for_fewer_expert_actions_than_the_best_solution():
    two = [expert("abcdefgh"), expert("mnopqrst", source="weak")]
    finder = finders.load_finder("binary", two, 5, seed=0)
    start = State("t")
    seen = [
        simulation(History("t", "o0"), False),
        simulation(two[0].history.at(2), True),
        simulation(two[1].history.at(4), True),
    ]
    assert not outcomes(seen)[start]
    assert finder.ask(seen) == [Probe(0, 1), Probe(1, 1)]
    assert finder.ask([*seen, simulation(two[0].history.at(1), True)]) == []


def test_binary_asks_once_for_a_state_of_two_experts():
    twins = [expert("abcdefgh", source=source) for source in ("strong", "weak")]
    rounds, _ = explored(finders.load_finder("binary", twins, 5, seed=0), lambda *_: False)
    assert [len(requests) for requests in rounds] == [0, 1, 1, 1, 1, 1]


# The bandit ---------------------------------------------------------------------------------------------


def many(n, length=8, reward=0.0):
    return [expert("abcdefghijkl"[:length], reward, task=f"t{k}") for k in range(n)]


def test_the_bandit_asks_for_no_state_of_a_task_won_from_s_0():
    """Half of the tasks are won from s_0."""
    finder = finders.load_finder("bandit", many(20), 5, seed=0)
    rounds, _ = explored(finder, lambda s, _: not s.actions and int(s.task_id[1:]) % 2 == 0)
    probed = Counter(finder.experts[p.expert].task_id for requests in rounds for p in requests)
    assert set(probed) == {f"t{k}" for k in range(1, 20, 2)}
    assert sum(probed.values()) == finder.budget == 100


def test_the_bandit_looks_for_fewer_expert_actions_and_then_stops():
    """Every state wins: one solves the task, and earlier states are tried at most once each."""
    finder = finders.load_finder("bandit", many(20), 5, seed=0)
    rounds, seen = explored(finder, lambda s, _: bool(s.actions))
    assert all(p.sample == 0 for requests in rounds for p in requests)
    shortest = {
        t: min(s.n_expert for s in seen if s.task_id == t and s.win) for t in {s.task_id for s in seen}
    }
    assert set(shortest.values()) == {1} and len(seen) < 20 + finder.budget


def test_the_bandit_tries_each_state_of_a_winning_expert_once():
    finder = finders.load_finder("bandit", many(20, reward=1.0), 5, seed=0)
    rounds, _ = explored(finder, lambda *_: False, most=1000)
    times = Counter((p.expert, p.step) for requests in rounds for p in requests)
    assert times == dict.fromkeys([(k, i) for k in range(20) for i in range(1, 8)], 1)


def test_the_bandit_asks_for_the_states_that_win():
    """Only s_6 … s_8 of nine actions win; after a few rounds it asks for little else."""
    finder = finders.load_finder("bandit", many(200, 9), 2, seed=0)
    rounds, _ = explored(finder, lambda s, _: len(s.actions) >= 6)
    late = [sum(p.step >= 6 for p in requests) / len(requests) for requests in rounds if requests]
    assert late[0] < 0.6 and sum(late[3:8]) / 5 > 0.8


def test_the_bandit_tries_again_with_new_samples_but_no_more_than_M_times():
    finder = finders.load_finder("bandit", many(3, 3), 5, seed=0)
    rounds, _ = explored(finder, lambda *_: False, most=1000)
    times = Counter((p.expert, p.step) for requests in rounds for p in requests)
    assert times == dict.fromkeys([(k, i) for k in range(3) for i in (1, 2)], 5)
    assert {p.sample for requests in rounds for p in requests} == set(range(5))


def test_the_bandits_rounds_are_a_twentieth_of_its_budget():
    finder = finders.load_finder("bandit", many(40), 5, seed=0)
    rounds, _ = explored(finder, lambda *_: False)
    assert [len(requests) for requests in rounds] == [0] + [10] * 20


def test_a_bandit_with_another_seed_asks_for_other_states():
    requests = [
        explored(finders.load_finder("bandit", many(20), 5, seed=k), lambda *_: False)[0] for k in (0, 0, 1)
    ]
    assert requests[0] == requests[1] != requests[2]


def test_an_unknown_finder_is_refused():
    with pytest.raises(
        ParamsError, match="finder 'bnary'; did you mean 'binary'\\? choose fixed, binary, bandit or one of"
    ):
        finders.load_finder("bnary", [], 5, seed=0)


def test_a_finder_of_ones_own_is_loaded_by_module_and_name():
    finder = finders.load_finder(
        "helpers.extensions:LastOnly", [expert("abcd"), expert("ab", task="u")], 3, seed=0
    )
    rounds, _ = explored(finder, lambda *_: False)
    assert steps(rounds) == [[3, 1]] and finder.budget == 6
    with pytest.raises(
        ParamsError, match=r"05_explore: finder 'helpers\.extensions:None_': helpers\.extensions has no"
    ):
        finders.load_finder("helpers.extensions:None_", [], 5, seed=0)


# Properties ---------------------------------------------------------------------------------------------


@st.composite
def worlds(draw, *, samples=1):
    """Draw experts of a few tasks in a world of two actions, so that trajectories meet, and the outcome from each state."""
    entries = st.tuples(
        st.text("ab", max_size=9), st.booleans(), st.sampled_from("tuv"), st.sampled_from(["strong", "weak"])
    )
    drawn = draw(st.lists(entries, max_size=5))
    won = {(t, a): float(w and bool(a)) for a, w, t, _ in drawn}  # the same actions end alike
    found = [expert(a, won[t, a], t, s) for a, _, t, s in drawn]
    states = sorted({(e.task_id, e.actions[:i]) for e in found for i in range(len(e) + 1)})
    chances = st.sampled_from([True, False, False, None])
    table = {(State(*s), k): draw(chances) for s in states for k in range(samples)}
    return found, draw(st.integers(0, 5)), lambda state, sample: table[state, sample]


@each
@given(worlds(samples=5), st.integers(0, 3))
def test_no_finder_exceeds_the_budget_or_asks_for_a_missing_state(name, world, seed):
    experts, M, wins = world
    finder = finders.load_finder(name, experts, M, seed=seed)
    rounds, _ = explored(finder, wins)
    probes = [p for requests in rounds for p in requests]
    assert finder.budget == sum(len(explored_steps(len(e), M)) for e in experts)
    assert len(probes) <= finder.budget
    assert all(0 < p.step < len(experts[p.expert]) for p in probes)
    assert len(set(probes)) == len(probes)


@given(worlds(samples=5), st.integers(0, 3))
def test_a_state_is_asked_for_again_only_by_the_bandit_and_as_the_next_sample(world, seed):
    experts, M, wins = world
    for name in ("binary", "bandit"):
        rounds, seen = explored(finders.load_finder(name, experts, M, seed=seed), wins)
        times = Counter(t.state(t.n_expert) for t in seen)
        assert max(times.values(), default=1) <= (1 if name == "binary" else max(1, M))
        for state in times:
            samples = [t.sample for t in seen if t.state(t.n_expert) == state]
            assert samples == list(range(len(samples)))
        for requests in rounds:
            assert len({experts[p.expert].state(p.step) for p in requests}) == len(requests)


@each
@given(worlds(samples=5), st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_order_of_the_trajectories_does_not_change_the_probes(name, world, seed, rnd):
    experts, M, wins = world
    shuffled = rnd.sample(experts, len(experts))
    requests = []
    for order in (experts, shuffled):
        rounds, _ = explored(finders.load_finder(name, order, M, seed=seed), wins)
        requests.append([Counter((order[p.expert].state(p.step), p.sample) for p in r) for r in rounds])
    assert requests[0] == requests[1]


@given(worlds())
def test_binary_solves_what_fixed_solves_with_no_more_simulations(world):
    experts, M, wins = world
    solved, spent = {}, {}
    for name in ("fixed", "binary"):
        rounds, seen = explored(finders.load_finder(name, experts, M, seed=0), wins)
        solved[name] = {t.task_id for t in (*experts, *seen) if t.win}
        spent[name] = sum(map(len, rounds))
    assert solved["binary"] == solved["fixed"]
    assert spent["binary"] <= spent["fixed"]


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 12), st.booleans())
def test_binary_finds_the_fewest_expert_actions_where_wins_follow_losses_once(length, M, first, won):
    """… of the states on the grid, as fixed does; on an expert that won by halving, M + 1 answers in all."""
    e = expert("abcdefghijkl"[:length], float(won))
    best = {}
    for name in ("fixed", "binary"):
        rounds, seen = explored(
            finders.load_finder(name, [e], M, seed=0), lambda s, _: len(s.actions) >= max(1, first)
        )
        best[name] = min((t.n_expert for t in (e, *seen) if t.win), default=None)
    assert best["binary"] == best["fixed"]
    if won:
        assert sum(map(len, rounds)) <= math.ceil(math.log2(M + 1))


@given(st.integers(2, 12), st.integers(1, 6), st.integers(1, 12))
def test_binary_finds_the_recovery_state_where_losses_follow_wins_once(length, M, first):
    e = expert("abcdefghijkl"[:length])
    found = {}
    for name in ("fixed", "binary"):
        _, seen = explored(finders.load_finder(name, [e], M, seed=0), lambda s, _: len(s.actions) < first)
        found[name] = recovery_state(e, outcomes(seen))
    assert found["binary"] == found["fixed"]


@each
@given(worlds(samples=5), st.data())
def test_probes_depend_on_the_simulations_so_far_alone(name, world, data):
    """A new finder asks for the same states after the same rounds: an exploration can resume anywhere."""
    experts, M, wins = world
    rounds, seen = explored(finders.load_finder(name, experts, M, seed=3), wins)
    tasks = len({e.task_id for e in experts})
    k = data.draw(st.integers(0, len(rounds)))
    known = sum(map(len, rounds[:k])) + (tasks if k else 0)
    requests = finders.load_finder(name, experts, M, seed=3).ask(seen[:known])
    expected = rounds[k] if k < len(rounds) else []
    assert requests[: len(expected)] == expected
