"""Pairs from demonstrations: the preferred side, the state, and the actions that are trained."""

import msgspec
import pytest
from helpers.episodes import by_next, naive, spoilt
from hypothesis import given
from hypothesis import strategies as st

from eefcore.actions import is_thought
from eefcore.errors import ParamsError
from eefcore.preferences.demonstrations import (
    beneficial_pairs,
    count_pairs,
    demonstration_pairs,
    show_pair,
    trajectory_pairs,
)
from eefcore.selection.algorithm import outcomes
from eefcore.types import Example, History, Mistake, Step, StopReason, Trajectory


def episode(actions, reward=0.0, n_expert=0, task="t", **rest):
    """Actions are letters; T, U and V are thoughts."""
    texts = [f"Think[{a}]" if a in "TUV" else a for a in actions]
    steps = tuple(Step(f"o{i}", a) for i, a in enumerate(texts))
    return Trajectory(history=History(task, "end", steps), reward=reward, n_expert=n_expert, **rest)


def expert(actions, reward=0.0, **rest):
    return episode(actions, reward, len(actions), **{"source": "gpt-4", **rest})


def letters(example):
    """The trained actions."""
    texts = [example.trajectory.actions[i] for i in example.trained_indices]
    return "".join(t[6] if is_thought(t) else t for t in texts)


def sides(preferences):
    return [(p.chosen.first, letters(p.chosen), letters(p.rejected)) for p in preferences]


# ETO ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expert_reward, own_reward, by, chosen, margin",
    [
        (1.0, 0.25, "reward", "expert", 0.75),
        (1.0, 0.25, "win", "expert", 1.0),
        (0.25, 1.0, "reward", "own", 0.75),  # the policy can teach itself
        (0.25, 1.0, "win", "own", 1.0),
        (0.5, 0.25, "reward", "expert", 0.25),
        (0.5, 0.25, "win", None, None),  # both lost
        (1.0, 1.0, "reward", None, None),
    ],
)
def test_the_better_of_expert_and_own_is_chosen(expert_reward, own_reward, by, chosen, margin):
    sides = {"expert": expert("ab", expert_reward), "own": episode("xyz", own_reward, source="π")}
    found = trajectory_pairs([sides["expert"]], [sides["own"]], by)
    if chosen is None:
        assert found == []
        return
    (pair,) = found
    (other,) = {*sides} - {chosen}
    assert (pair.chosen, pair.rejected) == (Example(sides[chosen]), Example(sides[other]))
    assert pair.margin == margin
    assert {"gpt-4:", "π:"} < {*pair.reason.split()}


def test_an_episode_cut_short_is_no_win():
    cut = episode("xyz", 1.0, stop=StopReason.TURN_LIMIT)
    assert len(trajectory_pairs([expert("ab", 1.0)], [cut], "win")) == 1
    assert trajectory_pairs([expert("ab", 1.0)], [cut], "reward") == []


def test_several_samples_and_several_experts():
    """The best expert against each own trajectory from s_0; the same again is one, another's state is none."""
    experts = [expert("ab", 0.5), expert("ac", 1.0), expert("ad", 1.0), expert("q", 1.0, task="u")]
    own = [
        episode("x", 0.0),
        episode("y", 0.5, sample=1),
        episode("x", 0.0, sample=2),
        episode("acz", 0.0, n_expert=2),
        episode("w", 0.0, task="nobody's"),
        episode("v", 0.0, stop=StopReason.MODEL_FAILURE),
        episode("", 0.0, stop=StopReason.MALFORMED),
    ]
    assert sides(trajectory_pairs(experts, own, "reward")) == [(0, "ac", "x"), (0, "ac", "y")]


def test_trajectories_with_the_same_actions_make_no_pair():
    """An imported expert that was given fewer turns, say."""
    assert (
        trajectory_pairs([expert("ab", 0.0, stop=StopReason.TURN_LIMIT)], [episode("ab", 1.0)], "win") == []
    )


def test_eto_compares_with_what_the_expert_won():
    experts = [expert("ab", 0.5), expert("ac", 1.0, task="u")]
    own = [episode("x", 0.0), episode("y", 0.75, task="t"), episode("z", 0.25, task="u")]

    def made(**choice):
        return sides(
            demonstration_pairs(
                experts, own, **{"kind": "trajectory", "demonstrations": "all", "by": "reward", **choice}
            )
        )

    assert made(demonstrations="positive") == [(0, "ac", "z")]
    assert made() == [(0, "ab", "x"), (0, "y", "ab"), (0, "ac", "z")]
    assert made(by="win") == [(0, "ac", "z")]
    assert made(kind="beneficial") == sides(beneficial_pairs(experts, own)) == []


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"kind": "node"}, "pairs 'node'; choose trajectory or beneficial"),
        ({"demonstrations": "negative"}, "demonstrations 'negative'; choose positive or all"),
        ({"by": "length"}, "by 'length'; choose reward or win"),
    ],
)
def test_an_unknown_comparison_is_refused(choice, says):
    with pytest.raises(ParamsError, match=says):
        demonstration_pairs([], [], **{"kind": "trajectory", "demonstrations": "all", "by": "win", **choice})


# Beneficial actions -------------------------------------------------------------------------------------


def explored(expert, *simulations):
    """Simulations of (where it started, what was done then, whether it won)."""
    return [
        episode("".join(letters(Example(expert))[:i]) + then, float(won), i, source="π", task=expert.task_id)
        for i, then, won in simulations
    ]


@pytest.mark.parametrize(
    "simulations, expected",
    [
        ([(0, "xy", 0), (2, "z", 1)], [(0, "a", "x")]),
        ([(0, "az", 0), (2, "z", 1)], [(1, "b", "z")]),  # alike at first: where they part
        ([(0, "abz", 0), (2, "y", 1)], []),  # all the expert did, the policy did as well
        ([(0, "a", 0), (2, "z", 1)], []),  # it stopped before they parted
        ([(0, "x", 1), (2, "z", 1)], []),  # it never lost
        ([(0, "x", 0), (2, "z", 0)], []),  # it never won
        ([(0, "x", 1), (2, "z", 0)], []),  # Fig. 1's red: something harmed
        ([(0, "x", 0), (2, "y", 0), (4, "z", 1)], [(2, "c", "y")]),  # only the step that turned it
        ([(0, "x", 0), (2, "y", 1), (4, "z", 1)], [(0, "a", "x")]),
        ([(0, "x", 0), (2, "p", 1), (4, "y", 0), (5, "q", 1)], [(0, "a", "x"), (4, "e", "y")]),
        ([(0, "x", 0), (0, "y", 0), (2, "z", 1)], [(0, "a", "x"), (0, "a", "y")]),
        ([(0, "xp", 0), (0, "xq", 0), (2, "z", 1)], [(0, "a", "x")]),  # the same difference once
        ([(0, "x", 0), (0, "y", 1), (2, "z", 1)], []),  # a state won once is won
    ],
)
def test_a_beneficial_action_is_preferred_where_the_expert_helped(simulations, expected):
    e = expert("abcdef")
    assert sides(beneficial_pairs([e], explored(e, *simulations))) == expected


@pytest.mark.parametrize(
    "expert_did, failure, expected",
    [
        ("Tabc", "Uz", [(0, "Ta", "Uz")]),  # a thought is trained with the deed it leads to
        ("Tabc", "z", [(0, "Ta", "z")]),
        ("Tabc", "UVz", [(0, "Ta", "UVz")]),
        ("Tabc", "Tz", [(1, "a", "z")]),
        ("Tabc", "Ua", []),  # other words for the same deed
        ("TUVc", "z", [(0, "TUV", "z")]),  # nothing but thoughts before the policy won
        ("Tabc", "U", [(0, "Ta", "U")]),  # it never came to a deed
        ("aTbc", "aUb", []),
    ],
)
def test_thoughts_are_trained_with_the_action_that_follows(expert_did, failure, expected):
    e = expert(expert_did)
    assert sides(beneficial_pairs([e], explored(e, (0, failure, 0), (3, "z", 1)))) == expected


def test_episodes_that_the_infrastructure_spoilt_make_no_pair():
    e = expert("abcdef")
    lost, spoilt_episode, won = explored(e, (0, "x", 0), (2, "y", 0), (4, "z", 1))
    spoilt_episode = msgspec.structs.replace(spoilt_episode, stop=StopReason.ENVIRONMENT_FAILURE)
    assert beneficial_pairs([e], [lost, spoilt_episode, won]) == []
    assert sides(beneficial_pairs([e], [lost, won])) == [(0, "a", "x")]


def test_a_difference_that_two_experts_show_is_one_pair():
    experts = [expert("abc"), expert("abd", source="gpt-3.5")]
    runs = explored(experts[0], (0, "x", 0), (2, "z", 1))
    assert len(beneficial_pairs(experts, runs)) == 1


actions = st.text("abTU", max_size=6)


@st.composite
def explorations(draw):
    """Experts on one task, and simulations from their states; equal actions end equally, as they must."""
    experts = [expert(draw(st.text("abTU", min_size=1, max_size=8))) for _ in range(draw(st.integers(1, 2)))]
    wins: dict[str, bool] = {}
    simulations = []
    for e in experts:
        whole = letters(Example(e))
        for i in draw(st.sets(st.integers(0, len(e) - 1))):
            for _ in range(draw(st.integers(1, 2))):
                did = whole[:i] + draw(actions)
                won = wins.setdefault(did, draw(st.booleans())) and len(did) > 0
                simulations.append(episode(did, float(won), i))
    return experts, simulations


@given(explorations())
def test_properties_of_beneficial_pairs(given):
    experts, simulations = given
    found = beneficial_pairs(experts, simulations)
    known = outcomes(simulations)
    for p in found:
        winner, failure = p.chosen.trajectory, p.rejected.trajectory
        assert winner.win and not failure.win and winner in simulations and failure in simulations
        assert known[failure.state(failure.n_expert)] is False  # lost from s_i
        assert failure.n_expert <= p.chosen.first < p.chosen.end <= winner.n_expert  # within a_i … a_{j-1}
        assert any(
            e.contains(winner.state(winner.n_expert)) for e in experts
        )  # what is chosen is an expert's
        for example in (p.chosen, p.rejected):
            *thoughts, last = letters(example)
            assert all(t in "TU" for t in thoughts)
            at_the_end = example.end in (len(failure), winner.n_expert)
            assert last not in "TU" or at_the_end
    assert len({msgspec.json.encode(p) for p in found}) == len(found)
    assert beneficial_pairs(experts, simulations) == found


@given(explorations(), st.sampled_from(["reward", "win"]))
def test_properties_of_trajectory_pairs(given, by):
    experts, simulations = given
    for p in trajectory_pairs(experts, simulations, by):
        better, worse = p.chosen.trajectory, p.rejected.trajectory
        assert better.reward > worse.reward and p.chosen == Example(better) and p.rejected == Example(worse)
        assert sum(t in experts for t in (better, worse)) >= 1


@given(explorations())
def test_marked_mistakes_do_not_change_the_pairs(given):
    experts, simulations = given
    marked = [msgspec.structs.replace(e, marks=(Mistake(0, "give_up"),)) for e in experts]
    assert beneficial_pairs(marked, simulations) == beneficial_pairs(experts, simulations)


# What they amount to ------------------------------------------------------------------------------------


def test_counts_of_pairs():
    e = expert("Tabc")
    runs = explored(e, (0, "Uz", 0), (3, "z", 1))
    runs[1] = msgspec.structs.replace(
        runs[1], marks=(Mistake(1, "give_up"), Mistake(1, "misread"), Mistake(2, "give_up"))
    )
    own = trajectory_pairs([expert("ab", 0.25, task="u")], [episode("xyz", 1.0, task="u")], "reward")
    found = count_pairs([*beneficial_pairs([e], runs), *own])
    assert found._asdict() == {
        "n": 2,
        "tasks": 2,
        "from_expert": 0.5,
        "margin": (1.0 + 0.75) / 2,
        "chosen_actions": 2 + 3,
        "rejected_actions": 2 + 2,
        "mistakes": 1 / 5,
    }
    assert set(count_pairs([])) == {0}


def test_a_pair_is_shown_with_its_state_and_both_sides():
    (pair,) = trajectory_pairs(
        [by_next("a", source="gpt-4", n_expert=8)], [naive("a", source="π"), spoilt("a")], "win"
    )
    text = show_pair(pair)
    assert text.splitlines()[0] == "task a: i am looking for resilient memory foam loveseat sofa"
    assert "(gpt-4: win 1.00, π: loss 0.66)" in text
    chosen, rejected = text.split("\n\n")[1:]
    assert chosen.startswith("chosen (win, reward 1.00)\n  > Think") and 'click["button": "Next >"]' in chosen
    assert rejected.startswith("rejected (loss, reward 0.66)") and "Next >" not in rejected


# Flags of records from elsewhere ------------------------------------------------------------------------


def untrained(t, *indices):
    steps = [msgspec.structs.replace(s, trained=i not in indices) for i, s in enumerate(t.history.steps)]
    return msgspec.structs.replace(t, history=msgspec.structs.replace(t.history, steps=tuple(steps)))


def test_what_an_expert_may_not_teach_is_not_chosen():
    """By the flags of its record: a part of a trajectory, and a whole one."""
    own = episode("xyz", 0.0, source="π")
    assert sides(trajectory_pairs([untrained(expert("ab", 1.0), 0)], [own], "win")) == [(0, "b", "xyz")]
    assert trajectory_pairs([untrained(expert("ab", 1.0), 0, 1)], [own], "win") == []


def test_an_action_that_helped_and_may_not_be_trained_gives_no_pair():
    def pairs(*indices):
        e = untrained(expert("abc"), *indices)
        lost, won = episode("axy", 0.0, 1), untrained(episode("abw", 1.0, 2), *indices)
        return beneficial_pairs([e], [lost, won])

    assert sides(pairs()) == [(1, "b", "x")]
    assert pairs(1) == []
