"""Questions and examples for a critic from what search found out, and how often a critic answers them rightly."""

from __future__ import annotations

import math

import pytest
from helpers.search_toys import CRITIC, HAT, Dice, ScriptedCritic, grown, roots
from helpers.toy_shop import TASKS

from eefcore.actions import ActionParts, command, format_action
from eefcore.protocols import Reply
from eefcore.rendering.critic_prompts import (
    BEST_ACTION,
    EPISODE_OVER,
    TASK_SOLVED,
    VERDICTS,
    critic_question,
    parse_choice,
)
from eefcore.search import calibration, critic_data, mcts
from eefcore.types import StopReason

CONTRARY = ScriptedCritic(
    lambda history, action: -(action == f"buy {history.task_id}") - (action == "next") / 2,
    lambda history: history.actions[-1] != f"buy {history.task_id}",
)


def searched(*, K=8, to=60, tasks=(HAT,)):
    return grown(roots([*tasks], K=K), to)


def test_the_best_of_the_explored_actions_is_the_answer():
    (tree,) = searched()
    found = critic_data.critic_questions([tree], min_visits=2, gap=0.25).actions
    assert found
    for chosen in found:
        node = next(n for k, n in enumerate(tree.nodes) if tree.history(k) == chosen.history)
        tried = [e for e in node.edges if e.N >= 2]
        values = sorted(map(mcts.mean_return, tried))
        assert [e.reply.action for e in chosen.explored] == [e.reply.action for e in tried]
        assert mcts.mean_return(tried[chosen.best]) == values[-1] >= values[-2] + 0.25
        asked, options, right, answer = chosen.question
        assert options == [e.reply.action for e in tried] and right == chosen.best
        assert asked == critic_question(chosen.history, options, BEST_ACTION)
        assert parse_choice(Reply(answer), options) == right
    assert critic_data.critic_questions([tree], gap=1.01).actions == []
    assert len(critic_data.critic_questions([tree], min_visits=20).actions) < len(found)


def test_a_composite_action_is_asked_about_by_its_command_and_answered_with_one():
    (tree,) = searched()
    for node in tree.nodes:
        for e in node.edges:
            e.reply = e.reply._replace(action=format_action(ActionParts("so be it", e.reply.action, "")))
    lesson = critic_data.critic_questions([tree]).actions[0].question
    assert "so be it" not in lesson.prompt.observation
    assert lesson.answer != command(lesson.answer) == str(lesson.right + 1)


def test_the_question_how_an_episode_ended_hides_the_last_page():
    trees = searched(tasks=TASKS, to=20)
    found = critic_data.critic_questions(trees).outcomes
    assert {e.won for e in found} == {True, False}
    for tree in trees:
        mine = [e for e in found if e.history.task_id == tree.task_id]
        over = [s for s in tree.simulations if s.stop is StopReason.DONE]
        assert [e.won for e in mine] == sorted({s.reward == 1.0 for s in over}, reverse=True), "one of each"
        for e in mine:
            assert e.history.observation == EPISODE_OVER
            assert e.history.steps in [
                tree.final_history(s).steps for s in over if (s.reward == 1.0) is e.won
            ]
            assert e.question == (
                critic_question(e.history, VERDICTS, TASK_SOLVED),
                VERDICTS,
                int(not e.won),
                "21"[e.won],
            )


def test_a_critic_learns_from_its_own_right_answers():
    """It thinks aloud before it names; the first right answer counts, the first of all being greedy."""
    found = critic_data.critic_questions(searched(tasks=TASKS, to=20))

    def says(history, sampling):
        names = 1 + (sampling.seed % 2 if sampling.temperature else 0)
        return Reply(f"{names}, I think", (names, 7), (-0.5, -0.5))

    critic = Dice(says)
    answers = critic_data.answer_questions(found, critic, draws=3, seed=0)
    assert len(critic.asked) == 3 * len(found.all) and answers.tokens_written == 2 * len(critic.asked)
    assert [s.temperature for _, s in critic.asked].count(0.0) == len(found.all)
    assert len(answers.examples) + answers.unanswered == len(found.all)
    rights = {lesson.prompt: lesson.right for lesson in found.all}
    for example in answers.examples:
        (i,) = example.trained_indices
        step = example.trajectory.history.steps[i]
        asked = example.trajectory.history.at(i)
        assert step.action == f"{rights[asked] + 1}, I think" and step.tokens == (rights[asked] + 1, 7)
    greedy = critic_data.answer_questions(found, Dice(says), draws=1, seed=0)
    assert {e.trajectory.actions[-1] for e in greedy.examples} == {"1, I think"}
    assert greedy.unanswered == sum(lesson.right != 0 for lesson in found.all) > answers.unanswered


def test_without_draws_a_critic_learns_the_number_alone():
    found = critic_data.critic_questions(searched(tasks=TASKS, to=20))
    silent = Dice()
    answers = critic_data.answer_questions(found, silent, draws=None, seed=0)
    assert (silent.asked, answers.unanswered, answers.tokens_written) == ([], 0, 0)
    assert [e.trajectory.actions[-1] for e in answers.examples] == [str(x.right + 1) for x in found.all]


def test_tasks_are_held_out_in_all_rounds_the_same():
    one, other = searched(tasks=TASKS, to=3), searched(tasks=[*reversed(TASKS)], to=6)
    held = [
        {t.task_id for t in critic_data.split_tasks(trees, share=0.5, seed=1).held_out}
        for trees in (one, other)
    ]
    assert held[0] == held[1] and 0 < len(held[0]) < len(TASKS)
    taught, kept = critic_data.split_tasks(one * 2, share=0.5, seed=1)
    assert len(taught) + len(kept) == 2 * len(TASKS) and not {t.task_id for t in taught} & held[0]
    assert (
        critic_data.split_tasks(one, share=0.0, seed=1).held_out
        == []
        == critic_data.split_tasks(one, share=1.0, seed=1).train
    )


def test_another_critic_ranks_the_same_edges_and_nothing_else_changes():
    trees = searched(tasks=TASKS[2:])
    before = calibration.explored_edges(trees, min_visits=2)
    other = calibration.rank_again(trees, CONTRARY, min_visits=2)
    after = calibration.explored_edges(other, min_visits=2)
    assert calibration.explored_edges(trees, min_visits=2) == before, "the given trees stay"
    assert [(p.q_tilde, p.visits) for p in after] == [(p.q_tilde, p.visits) for p in before]
    assert calibration.agreement(after) < 0 < calibration.agreement(before)
    same = calibration.rank_again(trees, CRITIC, min_visits=2)
    assert calibration.explored_edges(same, min_visits=2) == before


@pytest.mark.parametrize(("verdict", "knows"), [(CRITIC, 1.0), (CONTRARY, 0.0)])
def test_how_often_a_critic_is_right(verdict, knows):
    """One who looked up what search found is always right, one who says the contrary never."""
    trees = searched(tasks=TASKS[2:])
    found_out = {
        (tree.history(k), e.reply.action): mcts.mean_return(e) * (e.N > 1)
        for tree in trees
        for k, node in enumerate(tree.nodes)
        for e in node.edges
    }
    critic = ScriptedCritic(lambda h, action: (2 * knows - 1) * found_out[h, action], verdict._solved)
    accuracy = calibration.critic_accuracy(
        calibration.rank_again(trees, critic, min_visits=2), critic, min_visits=2, gap=0.25
    )
    assert (accuracy.named, accuracy.judged) == (knows, knows) and (accuracy.agreement > 0) is (knows > 0)


def test_a_critic_whose_ranks_are_equal_names_nothing():
    """Equal ranks name nothing; and without lessons there is no share."""
    trees = searched()
    for edge in (e for n in trees[0].nodes for e in n.edges):
        edge.q_hat = 0.5
    assert calibration.critic_accuracy(trees, CRITIC, min_visits=2, gap=0.25).named == 0.0
    nothing = (
        *calibration.critic_accuracy([], CRITIC, min_visits=2, gap=0.25),
        calibration.chance_accuracy(critic_data.critic_questions([])),
    )
    assert all(map(math.isnan, nothing))
    found = critic_data.critic_questions(trees, min_visits=2)
    each = [1 / len(c.explored) for c in found.actions]
    assert calibration.chance_accuracy(found) == pytest.approx(sum(each) / len(each))
