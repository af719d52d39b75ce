"""Tests of the records in `eefcore.types`: their properties, and the values that they refuse."""

import math
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eefcore.types import Card, Example, History, Mistake, Preference, State, Step, StopReason, Trajectory

texts = st.text(max_size=8)
moves = st.lists(st.tuples(texts, texts), max_size=6)


def history(moves=(("a", "o1"), ("b", "o2"), ("c", "o3")), task="t"):
    h = History(task, "o0")
    for action, seen in moves:
        h = h.then(action, seen)
    return h


def episode(reward=1.0, **rest):
    return Trajectory(history=history(), reward=reward, **rest)


# History ------------------------------------------------------------------------------------------------


def test_a_history_has_the_steps_so_far_and_the_observation_to_answer():
    h = history()
    assert (len(h), h.actions, h.observation) == (3, ("a", "b", "c"), "o3")
    assert [s.observation for s in h.steps] == ["o0", "o1", "o2"]
    assert h.state == State("t", ("a", "b", "c"))


@given(moves)
def test_at_i_returns_the_history_before_a_i(moves):
    whole, before = history(moves), History("t", "o0")
    for i, (action, seen) in enumerate(moves):
        assert whole.at(i) == before
        assert whole.at(i).state == State("t", tuple(a for a, _ in moves[:i]))
        before = before.then(action, seen)
    assert whole.at(len(moves)) is whole


@pytest.mark.parametrize("i", [-1, 4])
def test_at_refuses_an_index_outside_the_history(i):
    with pytest.raises(IndexError, match=rf"t: no h_{i} in a history of 3 actions"):
        history().at(i)


def test_sampled_tokens_are_stored_with_their_action():
    h = History("t", "o").then("a", "p", tokens=(1, 2), logps=(-0.5, -1.0))
    assert h.steps == (Step("o", "a", (1, 2), (-0.5, -1.0)),)


@given(moves, moves)
def test_states_are_equal_if_and_only_if_task_and_actions_are(one, other):
    a, b = history(one).state, history(other).state
    same = [x for x, _ in one] == [x for x, _ in other]
    assert (a == b) == same
    assert not same or hash(a) == hash(b)
    assert a != history(one, task="u").state


# Trajectory ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reward, stop, win, outcome",
    [
        (1.0, StopReason.DONE, True, "win"),
        (0.99, StopReason.DONE, False, "loss"),
        (0.0, StopReason.DONE, False, "loss"),
        (1.0, StopReason.TURN_LIMIT, False, "turn_limit"),
        (0.0, StopReason.CONTEXT_LIMIT, False, "context_limit"),
        (0.0, StopReason.MALFORMED, False, "malformed"),
        (0.0, StopReason.ENVIRONMENT_FAILURE, False, "environment_failure"),
        (1.0, StopReason.MODEL_FAILURE, False, "model_failure"),
        (0.0, StopReason.BUDGET, False, "budget"),
    ],
)
def test_an_episode_that_is_done_is_won_only_with_reward_1(reward, stop, win, outcome):
    t = episode(reward, stop=stop)
    assert (t.win, t.outcome) == (win, outcome)


def test_what_is_not_the_agents_is_infrastructure():
    assert {s for s in StopReason if s.infrastructure} == {
        StopReason.ENVIRONMENT_FAILURE,
        StopReason.MODEL_FAILURE,
        StopReason.BUDGET,
    }


@pytest.mark.parametrize("reward", [-0.1, 1.1, 70, float("nan")])
def test_a_reward_outside_the_unit_interval_is_refused(reward):
    with pytest.raises(ValueError, match="rescales its score"):
        episode(reward)


@pytest.mark.parametrize("n_expert", [-1, 4])
def test_more_expert_actions_than_actions_are_refused(n_expert):
    with pytest.raises(ValueError, match=f"n_expert {n_expert} of 3 actions"):
        episode(n_expert=n_expert)


@given(moves, moves)
def test_a_trajectory_contains_exactly_its_own_states(own, others):
    t = Trajectory(history=history(own), reward=0.0)
    states = [t.state(i) for i in range(len(t) + 1)]
    assert all(t.contains(s) for s in states)
    other = history(others).state
    assert t.contains(other) == (other in states)
    assert not t.contains(State("u"))


def test_a_trajectory_survives_a_round_trip_through_json():
    t = Trajectory(
        history=History("t", "o").then("a", "p", (1,), (-0.5,)),
        reward=0.25,
        n_expert=1,
        source="strong",
        stop=StopReason.TURN_LIMIT,
        sample=2,
        temperature=0.5,
        money=0.03,
        marks=(Mistake(0, "give_up"),),
    )
    assert msgspec.json.decode(msgspec.json.encode(t), type=Trajectory) == t
    assert b"tokens" not in msgspec.json.encode(episode())


# Example and Card ---------------------------------------------------------------------------------------


def test_an_example_needs_an_action_to_train_on():
    assert [Example(episode(), i).first for i in range(3)] == [0, 1, 2]
    for first in (-1, 3):
        with pytest.raises(ValueError, match=f"t: no action {first} to train on in a trajectory of 3"):
            Example(episode(), first)


def flagged(*trained):
    steps = tuple(Step(f"o{i}", f"a{i}", trained=flag) for i, flag in enumerate(trained))
    return Trajectory(history=History("t", "end", steps), reward=1.0)


@pytest.mark.parametrize(
    "flags, first, indices",
    [
        ((True, False, True), 0, (0, 2)),
        ((True, True, False), 0, (0, 1)),
        ((True, False, True), 1, (2,)),
        ((False, True, False), 0, (1,)),
    ],
)
def test_an_action_that_is_not_to_be_trained_is_left_out(flags, first, indices):
    example = Example(flagged(*flags), first)
    assert example.trained_indices == indices and example.end == indices[-1] + 1
    assert example.trajectory.trains_from(first)


def test_flags_that_leave_nothing_to_train_are_refused():
    assert not flagged(True, False, False).trains_from(1)
    with pytest.raises(ValueError, match="t: no action from a_1 on may be trained, as its flags say"):
        Example(flagged(True, False, False), 1)


def test_an_example_may_end_before_its_trajectory_does():
    t = episode()
    assert [list(e.trained_indices) for e in (Example(t), Example(t, 1), Example(t, 0, 1), Example(t, 1, 3))] == [
        [0, 1, 2], [1, 2], [0], [1, 2],
    ]  # fmt: skip
    for first, until in ((0, 0), (1, 1), (2, 1), (0, 4)):
        with pytest.raises(ValueError, match=f"from a_{first} until a_{until} of 3 actions; until lies in"):
            Example(t, first, until)


def test_examples_of_files_without_until_are_still_read():
    written = msgspec.json.encode({"trajectory": episode(), "first": 0})
    assert msgspec.json.decode(written, type=Example) == Example(episode())
    full = Example(episode(), 1, 2, "Good:")
    assert msgspec.json.decode(msgspec.json.encode(full), type=Example) == full
    assert {"until", "phrase"}.isdisjoint(msgspec.json.decode(msgspec.json.encode(Example(episode()))))


def pair(**rest):
    """Return the preference for b over B, after a."""
    better, worse = history(), history((("a", "o1"), ("B", "x")))
    sides = {
        "chosen": Example(Trajectory(history=better, reward=1.0), 1, 2),
        "rejected": Example(Trajectory(history=worse, reward=0.0), 1),
    }
    return Preference(**{**sides, "margin": 1.0, **rest})


def test_a_preference_survives_a_round_trip_through_json():
    scored = pair(reason="won", chosen_logps=(-0.5, -1.0), rejected_logps=(0.0,))
    for p in (pair(), scored):
        assert msgspec.json.decode(msgspec.json.encode(p), type=Preference) == p
    assert b"logps" not in msgspec.json.encode(pair())


def other(actions, task="t", first=1, **rest):
    steps = tuple((a, "x") for a in actions)
    return Example(Trajectory(history=history(steps, task), reward=0.0), first, **rest)


@pytest.mark.parametrize(
    "rest, message",
    [
        ({"rejected": other("aB", task="u")}, "from one state"),
        ({"rejected": other("AB")}, "from one state"),
        ({"rejected": other("aB", first=0)}, "from one state"),
        ({"rejected": other("ab")}, "do the same"),
        ({"rejected": other("aB", phrase="bad")}, "two prompts, '' and 'bad'"),
        ({"margin": 0.0}, "must be better, got a margin of 0.0"),
        ({"margin": float("nan")}, "must be better"),
        ({"chosen_logps": (-1.0,)}, "of both sides or of none"),
        ({"rejected": other("aBC"), "chosen_logps": (-1.0,), "rejected_logps": (-1.0,)}, "for 2 actions"),
        ({"chosen_logps": (0.1,), "rejected_logps": (-1.0,)}, r"1 log-likelihoods in \[0.1, 0.1\]"),
        ({"chosen_logps": (-math.inf,), "rejected_logps": (-1.0,)}, "expected a finite one"),
    ],
)
def test_two_examples_that_are_no_preference_are_refused(rest, message):
    with pytest.raises(ValueError, match=message):
        pair(**rest)


FACTS = st.dictionaries(texts, st.one_of(texts, st.integers(-9, 9), st.booleans()), max_size=4)


@given(FACTS, FACTS)
def test_cards_have_equal_keys_if_and_only_if_their_facts_are_equal(one, other):
    a, b = Card("shop", one), Card("shop", other)
    contents = [msgspec.json.encode(sorted(facts.items())) for facts in (one, other)]
    assert (a.key == b.key) == (contents[0] == contents[1])
    assert a.key == Card("shop", dict(reversed(one.items()))).key != Card("other", one).key
    assert len(a.key) == 8 and int(a.key, 16) >= 0


def test_a_notebook_shows_who_acted_and_what_is_trained_and_no_text_as_markup():
    evil = "</pre><script>alert(1)</script><img onerror=x>"
    history = History("t", evil).then("look", evil).then(evil, "end")
    shown = Trajectory(history=history, reward=0.5, n_expert=1, source=evil, refused_answer=evil)
    html = Example(shown, 1)._repr_html_()
    assert "expert  0 &gt; <b>look</b>" in html
    assert "policy  1 &gt; <mark><b>&lt;/pre&gt;" in html
    assert "loss, reward 0.50" in html
    assert "<mark>" not in shown._repr_html_()
    assert not {"<script", "<img"} & {*re.findall(r"<[a-z]+", html)}
    other = Trajectory(history=History("t", evil).then("look", evil).then("buy", "end"), reward=1.0)
    pair = Preference(
        chosen=Example(other, 1), rejected=Example(shown, 1), margin=0.5, reason=evil
    )._repr_html_()
    assert pair.index("<b>chosen</b>") < pair.index("<b>buy</b>") < pair.index("<b>rejected</b>")
    assert "<script" not in pair
