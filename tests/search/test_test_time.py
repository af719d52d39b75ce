"""Search at test time, and the guard of actions that can't be undone."""

from __future__ import annotations

from functools import partial

import pytest
from helpers.search_toys import FAILED, HAT, Dice, SealedShop, grown, roots
from helpers.toy_shop import TASKS, ToyShop

from eefcore.errors import ReplayMismatch
from eefcore.policies.scripted import ScriptedPolicy
from eefcore.search.guard import REFUSED, Guard, Request
from eefcore.search.settings import Signal
from eefcore.search.test_time import play_trees
from eefcore.types import State, StopReason


def played(tasks=(HAT,), signal=Signal.REWARD, *, n=30, live=ToyShop, by="visits", policy=None, **changes):
    make_env = SealedShop if signal is Signal.CRITIC else ToyShop
    return play_trees(
        roots(tasks, signal, **changes),
        lambda trees, to: grown(trees, to, policy, make_env=make_env),
        live,
        simulations=n,
        by=by,
    )


@pytest.mark.parametrize("by", ["visits", "value"])
@pytest.mark.parametrize("signal", Signal)
def test_search_wins_where_the_policy_acts_at_random(signal, by):
    out = played(TASKS[2:5], signal, by=by, K=8)
    assert all(p.trajectory.win for p in out)
    alone = play_trees(roots(TASKS[2:5], K=1, alpha=1.0), partial(grown, critic=None), ToyShop, simulations=1)
    assert sum(p.trajectory.win for p in alone) <= 1


def test_the_tree_follows_the_episode_and_keeps_what_was_searched_below():
    (episode,) = played(n=10)
    t, tree = episode.trajectory, episode.tree
    assert tree.history(tree.at).actions == t.actions and tree.attempts == 10 * len(t)
    assert t.history == tree.history(tree.at)
    assert (t.source, t.n_expert, t.stop) == ("dice+search", 0, tree.nodes[tree.at].stop)


def test_the_trees_that_were_given_stay_as_they_are():
    trees = roots()
    play_trees(trees, lambda some, to: grown(some, to), ToyShop, simulations=3)
    assert all(t.at == 0 and not t.simulations for t in trees)


def test_an_episode_may_end_by_its_limit_or_for_want_of_answers():
    (dancer,) = played(policy=ScriptedPolicy(lambda h: "dance"), n=2, max_turns=3)
    assert (dancer.trajectory.stop, len(dancer.trajectory), dancer.trajectory.reward) == (
        StopReason.TURN_LIMIT,
        3,
        0.0,
    )
    (mute,) = played(policy=ScriptedPolicy(lambda h: " "), n=2)
    assert (mute.trajectory.stop, len(mute.trajectory)) == (StopReason.MALFORMED, 0)
    assert mute.trajectory.refused_answer == " "
    (gone,) = played(policy=Dice(lambda *_: FAILED), n=2)
    assert gone.trajectory.stop is StopReason.MODEL_FAILURE and gone.trajectory.stop.infrastructure


def test_a_live_environment_that_differs_is_refused():
    class Moved(ToyShop):
        def step(self, action):
            return super().step(action)._replace(observation="elsewhere", done=False)

    with pytest.raises(ReplayMismatch, match="is it the environment that was searched"):
        played(live=Moved)


def test_a_human_is_asked_before_a_live_purchase():
    asked = []

    def human(answer):
        def agrees(request):
            asked.append(request)
            return answer

        return agrees

    (yes,) = played(live=lambda: Guard(ToyShop(), human(True)), K=8)
    page = yes.trajectory.history.at(len(yes.trajectory) - 1)
    assert yes.trajectory.win and asked == [Request(page.state, page.observation, f"buy {HAT}")]
    (no,) = played(live=lambda: Guard(ToyShop(), human(False)), K=8)
    assert (no.trajectory.stop, no.trajectory.reward, no.trajectory.history.observation) == (
        StopReason.DONE,
        0.0,
        REFUSED,
    )
    assert not no.trajectory.win and no.tree.tally.violations == 0


# The guard ------------------------------------------------------------------------------------------------


def guard(human=None):
    return Guard(ToyShop(), human)


def test_an_irreversible_action_is_refused_outside_a_snapshot():
    env = guard()
    env.reset("red hat")
    assert env.step("buy red hat").observation == REFUSED
    assert (env.violations, env.rehearsed) == (1, 0)
    assert env.snapshot() == State("red hat")  # nothing happened
    assert env.step("buy red hat").reward == 1.0
    assert (env.violations, env.rehearsed) == (1, 1)


def test_guard_allows_a_final_action_after_restore_until_the_next_reset():
    env = guard()
    env.reset("red hat")
    env.restore(State("red hat", ("next",)))
    assert env.step("back").observation == "red hat, red sock"
    assert env.step("buy red hat").done and env.rehearsed == 1
    env.reset("red hat")
    assert not env.step("buy red hat").done and env.violations == 1


def test_with_a_human_snapshots_do_not_count():
    env = guard(lambda request: request.action == "buy red sock")
    env.reset("red hat")
    env.snapshot()
    assert env.step("buy red hat").observation == REFUSED and env.step("next").observation != REFUSED
    env.step("back")
    assert env.step("buy red sock").done
    assert (env.consented, env.refused, env.violations, env.rehearsed) == (1, 1, 0, 0)


def test_actions_that_can_be_undone_ask_no_human():
    env = guard(lambda _: pytest.fail("asked"))
    env.reset("red hat")
    assert env.step("next").observation == "blue hat, blue sock"


def test_one_text_is_guarded_on_the_page_where_it_can_not_be_undone():
    env = guard()
    env.reset("red hat")
    assert env.step("buy blue hat").observation == "no such thing here"
    env.step("next")
    assert env.step("buy blue hat").observation == REFUSED and env.violations == 1


def test_the_page_after_a_refusal_is_still_the_one_that_a_human_is_shown():
    asked = []
    env = guard(lambda request: bool(asked.append(request.page)))
    seen = env.reset("red hat")
    env.step("buy red hat")
    env.step("buy red sock")
    env.step("next")
    env.step("buy blue hat")
    assert asked == [seen, seen, "blue hat, blue sock"]


def test_an_environment_without_irreversible_actions_is_not_guarded():
    class Library:
        """An environment without `irreversible`."""

        def __init__(self):
            shop = ToyShop()
            self.reset, self.step, self.snapshot, self.restore = (
                shop.reset,
                shop.step,
                shop.snapshot,
                shop.restore,
            )

    env = Guard(Library())
    env.reset("red hat")
    assert env.step("buy red hat").reward == 1.0 and env.violations == 0


def test_in_the_shop_buying_is_irreversible(mini):
    shop = mini.make()
    buy = 'click[{"button": "Buy Now"}]'
    assert shop.irreversible(buy) and shop.irreversible('click[{"button":  "Buy Now"}]\nand then')
    for action in (
        'click[{"button": "Next >"}]',
        'Think[{"response": "Buy Now"}]',
        "Buy Now",
        'Finish[{"response": "x"}]',
    ):
        assert not shop.irreversible(action)
