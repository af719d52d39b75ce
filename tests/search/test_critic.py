"""The ranking critic: best of the rest, answers that say nothing, many questions at once."""

from __future__ import annotations

import re

import pytest
from helpers.search_toys import FAILED, MALFORMED, Dice, grown, ranked, roots
from hypothesis import given
from hypothesis import strategies as st

from eefcore.protocols import Reply, Sampling
from eefcore.rendering.critic_prompts import BEST_ACTION, critic_question, parse_choice
from eefcore.search import mcts
from eefcore.search.cost import Tally
from eefcore.search.critic import RankingCritic, by_rank
from eefcore.search.scheduler import run_requests
from eefcore.types import History, Step

H = History("t", "page 2", (Step("page 1", "next"),))
WORTH = {"nap": 0, "look": 1, "walk": 2, "run": 3, "fly": 4}


def options(history: History) -> list[str]:
    """What a question offers."""
    return re.findall(r"^\d+\. (.*)$", history.observation, re.MULTILINE)


def knows(history: History, sampling: Sampling) -> Reply:
    """A critic model that names the worthiest by number."""
    offered = options(history)
    return Reply(str(1 + offered.index(max(offered, key=WORTH.__getitem__))), (5,), (-0.1,))


def ranking(actions, say=knows, **rest):
    model = Dice(say)
    (result,) = ranked(RankingCritic(model, **rest), [(H, actions)])
    return result, model


def test_the_best_of_the_rest_until_one_is_left():
    (scores, tally), model = ranking(["look", "fly", "nap", "walk", "run"])
    assert scores == [0.25, 1.0, 0.0, 0.5, 0.75]
    assert tally == Tally(critic_asked=4, tokens_written=4)
    assert [options(h) for h, _ in model.asked] == [
        ["look", "fly", "nap", "walk", "run"],
        ["look", "nap", "walk", "run"],
        ["look", "nap", "walk"],
        ["look", "nap"],
    ]
    assert all(s.temperature == 0.0 for _, s in model.asked)


def test_one_action_is_the_best_without_a_question():
    (scores, tally), model = ranking(["fly"])
    assert (scores, tally, model.asked) == ([1.0], Tally(), [])


def test_the_question_is_the_last_observation_of_the_same_history():
    asked = critic_question(H, ["go\n on", "stop"], BEST_ACTION)
    assert asked.steps == H.steps and asked.task_id == "t"
    assert asked.observation.startswith("page 2\n") and "\n1. go on\n2. stop\n" in asked.observation


def test_an_answer_that_says_nothing_is_asked_for_again_with_another_seed():
    said = iter([Reply("hm"), MALFORMED, Reply("2")])
    (scores, tally), model = ranking(["a", "b"], lambda *_: next(said), temperature=0.5)
    assert scores == [0.0, 1.0]
    assert (tally.critic_asked, tally.unparseable, tally.neutral) == (3, 2, 0)
    samplings = [s for _, s in model.asked]
    assert [s.temperature for s in samplings] == [0.0, 0.5, 0.5]
    assert len({s.seed for s in samplings}) == 3


def test_what_can_not_be_ranked_is_neutral_and_counted():
    said = iter([Reply("3"), *[Reply("no idea")] * 3])
    (scores, tally), _ = ranking(["a", "b", "c", "d"], lambda *_: next(said))
    assert scores == [0.5, 0.5, 1.0, 0.5]
    assert (tally.critic_asked, tally.unparseable, tally.neutral) == (4, 3, 1)
    (scores, tally), _ = ranking(["a", "b"], lambda *_: FAILED, attempts=2)
    assert scores == [0.5, 0.5] and tally == Tally(critic_asked=2, unparseable=2, neutral=1)


def test_the_prompt_is_what_the_critic_reads():
    (_, tally), _ = ranking(["nap", "fly"], length=lambda h: len(h.observation))
    assert tally.critic_read == len(critic_question(H, ["nap", "fly"], BEST_ACTION).observation) - len(
        H.observation
    )


@given(st.permutations(range(6)), st.integers(0, 6))
def test_scores_are_linear_in_rank_and_nothing_stands_above_what_was_ranked(order, named):
    scores = by_rank(order if named >= 5 else order[:named], 6)
    assert all(0.0 <= q <= 1.0 for q in scores)
    if named >= 5:
        assert sorted(scores) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    if named:
        assert scores[order[0]] == 1.0
        assert scores[order[named - 1]] >= max((scores[i] for i in order[named:]), default=0.0)
    else:
        assert scores == [0.5] * 6


@pytest.mark.parametrize(
    "said, named",
    [
        ("2", 1),
        (" 2. because it is cheap", 1),
        ("(3)", 2),
        ("Action 2", 1),
        ("The best is number 3.", 2),
        ("CLICK[B07]", 2),
        ("I would click[next] of these 3", 0),
        ("4", None),
        ("0", None),
        ("-", None),
        ("2.5", None),
        ("between 1 and 2", None),
        ("3 of them cost $5.0", 2),
        ("it costs $2", None),
        ("B07", None),
        ("2nd", None),
        ("", None),
    ],
)
def test_what_an_answer_names(said, named):
    assert parse_choice(Reply(said), ["click[next]", "search[red hat]", "click[B07]"]) == named


def test_answers_that_never_came_name_nothing():
    assert parse_choice(FAILED, ["a"]) is None and parse_choice(MALFORMED._replace(action="1"), ["a"]) is None


@given(st.lists(st.lists(st.sampled_from(sorted(WORTH)), unique=True, min_size=1), max_size=5), st.booleans())
def test_many_histories_at_once_are_each_as_if_alone(actions, reverse):
    histories = [History(f"t{i}", "page") for i in range(len(actions))]
    model = Dice(knows, reverse=reverse)
    together = ranked(RankingCritic(model), [*zip(histories, actions, strict=True)])
    assert [r.scores for r in together] == [ranking(a)[0].scores for a in actions]
    assert model.most <= len(actions)
    if sum(len(a) > 1 for a in actions) > 1:
        assert model.most > 1


def test_a_verdict_is_a_choice_of_two():
    def judge(say):
        critic = RankingCritic(Dice(say))
        (result,) = run_requests([critic.verdict(H)], critic.policy)
        return result.scores

    assert judge(lambda *_: Reply("1")) == [1.0]
    assert judge(lambda *_: Reply("2")) == [0.0]
    assert judge(lambda *_: Reply("well")) == [0.5]


def test_in_a_tree_the_critic_may_be_the_policy_itself_or_another():
    def both(history, sampling):
        if "Do not act yet" in history.observation:
            return Reply("1", (1,), (-0.1,))
        return Reply(f"buy {'green hat' if sampling.seed % 2 else 'red hat'}", (2, 3), (-0.1, -0.2))

    one, other = Dice(both), Dice(both)
    (same,) = grown(roots(("green hat",), alpha=0.5), 6, one, RankingCritic(one))
    (apart,) = grown(roots(("green hat",), alpha=0.5), 6, Dice(both), RankingCritic(other), sessions=2)
    assert same == apart and list(mcts.contradictions(same)) == []
    assert same.tally.critic_asked == len(other.asked) > 0
    assert {e.q_hat for e in same.nodes[0].edges} == {0.0, 1.0}
    assert same.tally.tokens_written == 2 * same.tally.asked + same.tally.critic_asked
