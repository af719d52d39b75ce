"""EEF selection, on the example of Fig. 1, on its edges, and on a whole small run.

`python tests/selection/test_algorithm.py` writes golden/quick_selection.json anew, after a change that was decided.
"""

import json
import os
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from helpers.paths import GOLDEN
from hypothesis import given
from hypothesis import strategies as st

from eefcore import envs
from eefcore.errors import DataError, ParamsError
from eefcore.experts.demonstrate import demonstrate_tasks
from eefcore.experts.webshop import experts as shop
from eefcore.experts.webshop.shopper import MistakeRates
from eefcore.policies.scripted import ScriptedPolicy
from eefcore.rollout.exploration import expert_starts, initial_starts
from eefcore.rollout.rollout import rollout
from eefcore.selection.algorithm import (
    Repository,
    TrainingSet,
    cloning_set,
    count_selection,
    explored_steps,
    illustrative_expert,
    keep_of,
    known_outcomes,
    outcomes,
    recovery_state,
    solution,
    solutions,
    training_set,
)
from eefcore.types import Example, History, Mistake, State, Step, StopReason, Trajectory


def episode(actions, reward=1.0, n_expert=0, task="t", **rest):
    steps = tuple(Step(f"o{i}", a) for i, a in enumerate(actions))
    return Trajectory(history=History(task, "end", steps), reward=reward, n_expert=n_expert, **rest)


def expert(actions, reward=0.0, **rest):
    return episode(actions, reward, len(actions), **rest)


def picked(chosen):
    return [(e.trajectory, e.first) for e in chosen]


# Where to explore (lines 8, 9) --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "length, M, steps",
    [
        (8, 3, (2, 4, 6)),  # l = 2
        (9, 3, (2, 4, 6)),  # ⌊9 / 4⌋
        (12, 5, (2, 4, 6, 8, 10)),
        (8, 0, ()),  # RFT
        (4, 3, (1, 2, 3)),  # l = 1
        (3, 5, (1, 2)),  # l = 0: each inner step once
        (1, 5, ()),
        (0, 5, ()),
        (0, 0, ()),
    ],
)
def test_explored_steps(length, M, steps):
    assert explored_steps(length, M) == steps


@given(st.integers(0, 60), st.integers(0, 12))
def test_explored_steps_are_at_equal_distances_inside_the_trajectory(length, M):
    steps = explored_steps(length, M)
    assert len(steps) == (M if length > M else max(0, length - 1) if M else 0)
    assert len({b - a for a, b in zip((0, *steps), steps, strict=False)}) <= 1
    assert all(0 < i < length for i in steps)


def test_a_negative_M_is_refused():
    with pytest.raises(ValueError, match="at least 0, got -1"):
        explored_steps(8, -1)


# What came of it ----------------------------------------------------------------------------------------


def test_a_state_is_solved_if_any_simulation_from_it_won():
    sims = [
        episode("xy", 0.0),
        episode("xz", 1.0, sample=1),  # the second of several samples at s_0
        episode("abx", 0.5, n_expert=2),
        episode("xy", 0.0, task="u"),
        episode("xy", 1.0, task="v", stop=StopReason.TURN_LIMIT),
    ]
    expected = {State("t"): True, State("t", ("a", "b")): False, State("u"): False, State("v"): False}
    assert known_outcomes(sims) == known_outcomes(reversed(sims)) == expected


@pytest.mark.parametrize("stop", [s for s in StopReason if s.infrastructure])
def test_a_spoilt_episode_says_nothing_about_its_state(stop):
    assert known_outcomes([episode("ab", 0.0, stop=stop)]) == {}
    assert known_outcomes([episode("ab", 0.0, stop=stop), episode("ab", 1.0)]) == {State("t"): True}


@pytest.mark.parametrize(
    "outcomes, i_star",
    [
        #  s_0    s_l    s_2l   s_3l
        ([False, True, False, True], 4),  # Fig. 1: i* = 2l
        ([True, True, True, True], None),  # nothing to recover from
        ([False, False, False, False], None),  # never solved, so nothing was lost
        ([False, False, True, True], None),  # solved once, and from there on
        ([True, False, True, False], 2),  # the first fall only
        ([True, True, True, False], 6),
        ([True, None, False, True], None),  # spoilt: neither a fall nor a success
        ([None, True, False, False], 4),
        ([None, None, None, None], None),
    ],
)
def test_recovery_is_the_first_fall_from_success(outcomes, i_star):
    e = expert("abcdefgh")
    outcome = {e.state(i): ok for i, ok in zip((0, 2, 4, 6), outcomes, strict=True)}
    assert recovery_state(e, outcome) == (None if i_star is None else e.state(i_star))


# get_traj (lines 11, 13) --------------------------------------------------------------------------------


def test_selection_of_figure_1_of_the_paper():
    """s_0 takes τ_{s_l} (fewer expert actions); s_2l takes τ_{s_3l}, trained from a_2l on."""
    e = expert("abcdefgh")
    tau_l, tau_3l = episode("abXY", n_expert=2), episode("abcdefZ", n_expert=6)
    failures = [episode("Q", 0.0), episode("abcdR", 0.4, n_expert=4)]
    repository = Repository([e, tau_3l, tau_l, *failures])
    assert solution(State("t"), repository) is tau_l
    assert solution(State("t", tuple("abcd")), repository) is tau_3l
    chosen = training_set(["t"], [e], [*failures, tau_l, tau_3l], repository)
    assert chosen == TrainingSet([Example(tau_l, 0)], [Example(tau_3l, 4)])
    assert picked(chosen.examples) == [(tau_l, 0), (tau_3l, 4)]


@pytest.mark.parametrize(
    "successes, best",
    [
        ([("abcd", 4), ("abXYZ", 2)], 1),  # fewer expert actions
        ([("abXYZ", 2), ("abXY", 2)], 1),  # then shorter
        ([("abXY", 2), ("abXZ", 2)], 0),  # then the first found
        ([("abcd", 4)], 0),  # the expert's own success, where there is no other
        ([("abcd", 4), ("abQ", 0)], 1),  # an own rollout that passes through the expert's state
        ([("ab", 0), ("abcd", 4)], 1),  # one that ends in the state teaches nothing there
        ([("ab", 2)], None),
        ([("aXY", 1)], None),  # not through the state
        ([], None),
    ],
)
def test_the_solution_is_one_of_the_successes_through_the_state(successes, best):
    found = [episode(actions, n_expert=n) for actions, n in successes]
    expected = None if best is None else found[best]
    assert solution(State("t", ("a", "b")), Repository(found)) is expected


def test_the_repository_keeps_successes_by_the_states_they_pass():
    a, b = episode("abX"), episode("acX")
    lost, cut, other = episode("ab", 0.9), episode("ab", stop=StopReason.TURN_LIMIT), episode("ab", task="u")
    repository = Repository([a, lost, cut, b, other])
    assert len(repository) == 3
    assert repository.through(State("t")) == [a, b]
    assert repository.through(State("t", ("a", "b"))) == [a]
    assert repository.through(State("v")) == []


# D_{s_0} ∪ D_r (line 14) --------------------------------------------------------------------------------


def test_behaviour_cloning_takes_the_wins_or_all():
    won, lost = expert("ab", 1.0), expert("abc", 0.5)
    nothing = expert("", stop=StopReason.MODEL_FAILURE)
    assert picked(cloning_set([lost, won, nothing], "positive")) == [(won, 0)]
    assert picked(cloning_set([lost, won, nothing], "all")) == [(lost, 0), (won, 0)]
    with pytest.raises(ParamsError, match="cloning 'some'; choose positive, all or conditioned"):
        cloning_set([], "some")


def test_conditioned_cloning_adds_a_phrase_for_win_or_loss():
    won, lost, cut = expert("ab", 1.0), expert("abc", 0.5), expert("ab", 1.0, stop=StopReason.TURN_LIMIT)
    cloned = cloning_set([lost, won, cut, expert("")], "conditioned", win="right", loss="wrong")
    assert [(e.trajectory, e.first, e.phrase) for e in cloned] == [
        (lost, 0, "wrong"),
        (won, 0, "right"),
        (cut, 0, "wrong"),
    ]
    with pytest.raises(ParamsError, match="phrase_win and phrase_loss are both 'right'"):
        cloning_set([won], "conditioned", win="right", loss="right")


def test_an_empty_set_to_clone_is_an_error():
    with pytest.raises(
        DataError, match=r"1 expert trajectories, and none to clone \(positive\); get more of them"
    ):
        cloning_set([expert("ab", 0.5)], "positive")


def test_solutions_have_the_phrase_of_conditioned_cloning_as_well():
    chosen = training_set(["t"], [], [], Repository([expert("ab", 1.0)]), phrase="right")
    assert [e.phrase for e in chosen.examples] == ["right"]


def test_experts_that_fall_in_one_state_train_it_once():
    twins = [expert("abcdefgh", source=name) for name in ("one", "two")]
    sims = [episode("X", 1.0), episode("abY", 0.0, n_expert=2), episode("abcdZ", 1.0, n_expert=4)]
    chosen = training_set(["t"], twins, sims, Repository(sims))
    assert picked(chosen.recovery) == [(sims[2], 2)]


def test_without_experts_it_is_rft():
    sims = [episode("ab"), episode("a", sample=1), episode("b", 0.0, task="u")]
    chosen = training_set(["t", "u", "v"], [], sims, Repository(sims))
    assert picked(chosen.initial) == [(sims[1], 0)] and chosen.recovery == []


def test_rft_keeps_every_success_on_a_task_and_no_failure():
    demonstrated, lost = expert("abc", 1.0), episode("c", 0.5, sample=2)
    earlier, now = episode("ab"), [episode("ab", sample=1), lost, episode("x", task="u")]
    repository = Repository([demonstrated, expert("q", 0.0), earlier, *now])
    chosen = training_set(["t", "u", "v"], [demonstrated], now, repository, keep="all")
    assert picked(chosen.initial) == [(t, 0) for t in (demonstrated, earlier, now[0], now[2])]
    assert chosen.recovery == []


def test_every_solution_of_a_recovery_state_is_trained_from_that_state_on():
    e = expert("abcdefgh")
    sims = [episode("X"), episode("abY", 0.0, n_expert=2), *(episode(f"abcd{z}", n_expert=4) for z in "ZW")]
    kept = training_set(["t"], [e], sims, Repository(sims), keep="all")
    assert picked(kept.initial) == [(t, 0) for t in (sims[0], *sims[2:])]
    assert picked(kept.recovery) == [(t, 2) for t in sims[2:]]


@pytest.mark.parametrize(
    ("keep", "n_expert", "expected"),
    [
        ("auto", [], "all"),  # behaviour cloning
        ("auto", [0, 0], "all"),  # RFT
        ("auto", [0, 3, 0], "one"),  # EEF
        ("all", [0, 3], "all"),
        ("one", [0], "one"),
    ],
)
def test_whether_a_task_keeps_one_success_follows_the_method_that_explored(keep, n_expert, expected):
    assert keep_of(keep, [episode("abcd", n_expert=n) for n in n_expert]) == expected


def test_an_unknown_number_of_solutions_is_refused():
    with pytest.raises(ParamsError, match="keep 'most'; choose auto, all or one"):
        keep_of("most", [])


def test_a_fall_without_a_solution_is_not_trained():
    e = expert("abcdefgh")
    sims = [episode("X", 1.0), episode("abY", 0.0, n_expert=2)]
    assert training_set(["t"], [e], sims, Repository([e, *sims])).recovery == []


def test_earlier_iterations_stay_in_the_repository():
    e = expert("abcdefgh")
    earlier = episode("abcdefZ", n_expert=6)
    now = [episode("X", 1.0), episode("abY", 0.0, n_expert=2), episode("abcdefZ", 0.0, n_expert=6)]
    chosen = training_set(["t"], [e], now, Repository([e, earlier, *now]))
    assert picked(chosen.recovery) == [(earlier, 2)]


# Properties ---------------------------------------------------------------------------------------------

ACTIONS = st.text("ab", min_size=1, max_size=7)
TASKS = ("t", "u")


@st.composite
def explorations(draw):
    """Experts, and what came of exploring them: a world of two actions, so that trajectories meet."""
    M = draw(st.integers(0, 4))
    task = st.sampled_from(TASKS)
    reward = st.sampled_from([0.0, 0.5, 1.0])
    experts = [
        expert(a, r, task=t, marks=tuple(Mistake(i, "slip") for i in range(0, len(a), 2)))
        for a, r, t in draw(st.lists(st.tuples(ACTIONS, reward, task), max_size=4))
    ]
    sims = []
    for start in [State(t) for t in TASKS] + [e.state(i) for e in experts for i in explored_steps(len(e), M)]:
        for k in range(draw(st.integers(0, 2))):
            more, stop = (
                draw(ACTIONS),
                draw(st.sampled_from([StopReason.DONE] * 4 + [StopReason.MODEL_FAILURE])),
            )
            won = draw(reward) if stop is StopReason.DONE else 0.0
            whole = (*start.actions, *more)
            sims.append(episode(whole, won, len(start.actions), task=start.task_id, stop=stop, sample=k))
    return experts, sims


def selected(experts, sims):
    return training_set(TASKS, experts, sims, Repository([*experts, *sims]))


@given(explorations())
def test_what_is_trained_solves_an_important_state_and_each_once(exploration):
    experts, sims = exploration
    chosen = selected(experts, sims)
    successes = [t for t in (*experts, *sims) if t.win]
    states = [e.trajectory.state(e.first) for e in chosen.examples]
    assert all(any(e.trajectory is t for t in successes) for e in chosen.examples)
    assert all(e.first == 0 for e in chosen.initial)
    assert len(set(states)) == len(states)
    solvable = [t for t in TASKS if any(s.task_id == t for s in successes)]
    assert [s.task_id for s in states[: len(chosen.initial)]] == solvable
    outcome = outcomes(sims)
    for state in states[len(chosen.initial) :]:
        assert outcome[state] is False
        owners = [e for e in experts if recovery_state(e, outcome) == state]
        assert owners and all(e.contains(state) for e in owners)


@given(explorations())
def test_no_solution_has_fewer_expert_actions_than_the_chosen(exploration):
    experts, sims = exploration
    for example in selected(experts, sims).examples:
        state = example.trajectory.state(example.first)
        rivals = [t for t in (*experts, *sims) if t.win and t.contains(state) and len(t) > example.first]
        best = min((t.n_expert, len(t)) for t in rivals)
        assert (example.trajectory.n_expert, len(example.trajectory)) == best


@given(explorations())
def test_marks_never_influence_what_is_trained(exploration):
    experts, sims = exploration
    blind = [msgspec.structs.replace(t, marks=()) for t in experts]
    marked = selected(experts, sims)
    unmarked = selected(blind, sims)
    for a, b in zip(marked, unmarked, strict=True):
        seen = [(msgspec.structs.replace(e.trajectory, marks=()), e.first) for e in a]
        assert seen == picked(b)


@given(explorations())
def test_counts_add_up(exploration):
    experts, sims = exploration
    repository = Repository([*experts, *sims])
    chosen = selected(experts, sims)
    told = count_selection(chosen, repository, TASKS)
    assert (told.n_initial, told.n_recovery) == (len(chosen.initial), len(chosen.recovery))
    assert told.solved == len(chosen.initial) / 2
    assert told.repository == sum(t.win for t in (*experts, *sims))
    assert 0 <= told.expert_actions <= told.trained_actions
    assert 0 <= told.mistakes <= 1


# What a selection amounts to ----------------------------------------------------------------------------


def test_counts_of_the_selection_of_figure_1():
    slips = (Mistake(1, "overlook"), Mistake(5, "give_up"))
    tau_l, tau_3l = episode("abXY", n_expert=2), episode("abcdefZ", n_expert=6, marks=slips)
    chosen = TrainingSet([Example(tau_l)], [Example(tau_3l, 4)])
    told = count_selection(chosen, Repository([tau_l, tau_3l]), ["t", "u", "v", "w"])
    assert (told.n_initial, told.n_recovery, told.solved, told.repository) == (1, 1, 0.25, 2)
    assert (told.expert_actions, told.trained_actions) == (2 + 2, 4 + 3)
    assert told.mistakes == 1 / 7  # the mark before a_4 is read, not trained


def test_a_step_with_two_slips_is_one_mistaken_action():
    slips = (Mistake(1, "overlook"), Mistake(1, "give_up"), Mistake(2, "overlook"))
    told = count_selection(TrainingSet([Example(expert("abcd", marks=slips))], []), Repository(), ["t"])
    assert told.mistakes == 2 / 4


def test_counts_of_an_empty_training_set_are_zero():
    told = count_selection(TrainingSet([], []), Repository(), [])
    assert set(told) == {0} and told.solved == 0.0


def test_illustrative_expert_is_a_failure_that_something_is_trained_from():
    won, idle, useful = expert("abcd", 1.0), expert("mnop", task="u"), expert("abcdefgh", task="v")
    both, lost = episode("abX", n_expert=2, task="v"), episode("abcdY", 0.0, n_expert=4, task="v")
    outcomes = known_outcomes([both, lost, episode("mnoQ", 0.0, n_expert=3, task="u")])
    chosen = TrainingSet([Example(both)], [])
    assert illustrative_expert([won, idle, useful], chosen, outcomes) is useful
    assert illustrative_expert([won, idle], chosen, outcomes) is idle
    assert illustrative_expert([won], chosen, {}) is won


def test_illustrative_expert_has_the_longest_trained_expert_segment():
    one, other = expert("abcdefgh"), expert("mnopqrst", task="u")
    outcomes = {e.state(i): bool(i) for e in (one, other) for i in (0, 4)}
    chosen = TrainingSet(
        [Example(episode("abX", n_expert=2)), Example(episode("mnopY", n_expert=4, task="u"))], []
    )
    assert illustrative_expert([one, other], chosen, outcomes) is other


# A whole small run --------------------------------------------------------------------------------------

GOLDEN_FILE = GOLDEN / "quick_selection.json"
CLUMSY = MistakeRates(
    0.1, 0.1, 0.2, 0.2, 0.2, 0.1, after_next=1.1, after_back=1.1
)  # its own, so that tuning the experts is no change here


def quick_selection(benchmark, M=5):
    """What is trained after a naive shopper explored an imperfect expert once: (first, n_expert, length) by task."""
    expert = shop.make_shopper(benchmark, "perfect")
    expert.name, expert.rates = "clumsy", CLUMSY
    experts = list(demonstrate_tasks(benchmark, expert, benchmark.tasks("train")))
    policy = ScriptedPolicy(shop.make_shopper(benchmark, "naive").act, name="naive")
    starts = [
        *initial_starts(benchmark, benchmark.tasks("train"), (0.0,), seed=0),
        *expert_starts(experts, M, 0.0, seed=0),
    ]
    sims = rollout(policy, benchmark.make, starts, max_turns=benchmark.max_turns)
    chosen = training_set(benchmark.tasks("train"), experts, sims, Repository([*experts, *sims]))
    trained = defaultdict(list)
    for e in chosen.examples:
        trained[e.trajectory.task_id].append([e.first, e.trajectory.n_expert, len(e.trajectory)])
    return {
        "experts won": sum(t.win for t in experts),
        "simulations": len(sims),
        "simulations won": sum(t.win for t in sims),
        "initial": len(chosen.initial),
        "recovery": len(chosen.recovery),
        "trained": dict(sorted(trained.items())),
    }


def test_a_small_run_trains_what_it_always_trained(generated):
    now = quick_selection(generated("30/0/0", seed=1))
    again = f"if this was decided, run `python tests/{Path(__file__).name}` and look at the diff"
    assert now == json.loads(GOLDEN_FILE.read_text()), again
    assert 0 < now["recovery"] < now["initial"] < 30


def write_golden():
    with TemporaryDirectory() as cache:
        os.environ["EEF_CACHE"] = cache
        told = quick_selection(envs.load("webshop_mini", sizes="30/0/0", seed=1))
    rows = ",\n".join(f"  {json.dumps(task)}: {json.dumps(row)}" for task, row in told.pop("trained").items())
    head = "".join(f" {json.dumps(k)}: {json.dumps(v)},\n" for k, v in told.items())
    GOLDEN_FILE.write_text(f'{{\n{head} "trained": {{\n{rows}\n }}\n}}\n')


if __name__ == "__main__":
    write_golden()


# Flags of records from elsewhere ------------------------------------------------------------------------


def flagged(actions, flags, **rest):
    t = expert(actions, 1.0, **rest)
    steps = [msgspec.structs.replace(s, trained=f) for s, f in zip(t.history.steps, flags, strict=True)]
    return msgspec.structs.replace(t, history=msgspec.structs.replace(t.history, steps=tuple(steps)))


def test_a_trajectory_of_which_nothing_may_be_trained_is_not_cloned():
    some, none = flagged("ab", (False, True)), flagged("cd", (False, False))
    assert picked(cloning_set([some, none], "positive")) == [(some, 0)]
    with pytest.raises(DataError):
        cloning_set([none], "positive")


def test_a_success_is_no_solution_of_a_state_after_which_nothing_of_it_may_be_trained():
    t = flagged("abc", (True, True, False))
    repository = Repository([t])
    assert [len(solutions(t.state(i), repository)) for i in range(4)] == [1, 1, 0, 0]
    assert solution(t.state(2), repository) is None
