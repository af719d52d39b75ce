"""What every policy must do. Subclass, give `make` and `histories`; pytest does the rest."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import pytest

from eefcore.errors import PolicyError
from eefcore.protocols import Policy, Reply, Sampling
from eefcore.types import History


def answered(policy: Policy, questions: Mapping[Hashable, tuple[History, Sampling]]) -> dict[Hashable, Reply]:
    """Every answer to `questions`, asked together; each episode is closed once it has answered."""
    for episode, (history, sampling) in questions.items():
        policy.ask(episode, history, sampling)
    replies: dict[Hashable, Reply] = {}
    while came := policy.answers():
        for episode, reply in came:
            assert episode not in replies, f"{episode!r} was answered twice"
            replies[episode] = reply
            policy.close(episode)
    return replies


def played(
    policy: Policy, starts: Sequence[History], samplings: Sequence[Sampling], turns: int
) -> dict[int, History]:
    """Each start after `turns` more actions, or fewer if one was none; all are played together."""
    histories = dict(enumerate(starts))
    for i, history in histories.items():
        policy.ask(i, history, samplings[i])
    while came := policy.answers():
        for i, reply in came:
            if reply.stop is None:
                seen = f"you said: {reply.action[:12]}"
                histories[i] = histories[i].then(reply.action, seen, reply.tokens, reply.logps)
            if reply.stop is not None or len(histories[i]) - len(starts[i]) == turns:
                policy.close(i)
            else:
                policy.ask(i, histories[i], samplings[i])
    return histories


class PolicyContract:
    """Give `make`, a policy, and `histories`, some that it can answer, all of them different."""

    turns = 3

    def make(self) -> Policy:
        raise NotImplementedError

    @property
    def histories(self) -> Sequence[History]:
        raise NotImplementedError

    def samplings(self, n: int, temperature: float = 1.0) -> list[Sampling]:
        return [Sampling(temperature, 1000 + i) for i in range(n)]

    def questions(self) -> dict[Hashable, tuple[History, Sampling]]:
        asked = zip(self.histories, self.samplings(len(self.histories)), strict=True)
        return {f"e{i}": question for i, question in enumerate(asked)}

    def test_it_has_a_name(self):
        assert self.make().name

    def test_nothing_asked_nothing_answered(self):
        assert list(self.make().answers()) == []

    def test_every_question_is_answered_once_and_none_is_invented(self):
        policy, questions = self.make(), self.questions()
        assert answered(policy, questions).keys() == questions.keys()
        assert list(policy.answers()) == []

    def test_an_answer_holds_an_action_or_says_why_not(self):
        for reply in answered(self.make(), self.questions()).values():
            assert reply.stop is not None or reply.action.strip()
            assert len(reply.tokens) == len(reply.logps)
            assert all(p <= 0 for p in reply.logps)

    def test_equal_seeds_draw_equal_actions(self):
        first, again = (answered(self.make(), self.questions()) for _ in range(2))
        assert actions(first) == actions(again)

    def test_the_rest_of_the_batch_does_not_matter(self):
        together = answered(self.make(), self.questions())
        alone = self.make()
        for episode, question in reversed(self.questions().items()):
            assert actions(answered(alone, {episode: question})) == actions({episode: together[episode]})

    def test_an_episode_goes_on_after_its_answer(self):
        starts = self.histories
        samplings = self.samplings(len(starts))
        together = played(self.make(), starts, samplings, self.turns)
        for i, start in enumerate(starts):
            alone = played(self.make(), [start], [samplings[i]], self.turns)
            assert alone[0].actions == together[i].actions

    def test_what_is_kept_between_turns_changes_nothing(self):
        starts, samplings = self.histories, self.samplings(len(self.histories))
        for i, history in played(self.make(), starts, samplings, self.turns).items():
            for t in range(len(starts[i]), len(history)):
                step = history.steps[t]
                fresh = answered(self.make(), {"fresh": (history.at(t), samplings[i])})["fresh"]
                assert (fresh.action, fresh.tokens) == (step.action, step.tokens)
                assert fresh.logps == pytest.approx(step.logps, abs=1e-4)

    def test_a_closed_episode_is_forgotten(self):
        policy, (history, *_) = self.make(), self.histories
        policy.ask("gone", history, Sampling())
        policy.close("gone")
        assert list(policy.answers()) == []
        policy.close("never seen")
        assert answered(policy, {"gone": (history, Sampling())}).keys() == {"gone"}

    def test_a_second_open_question_is_an_error(self):
        policy, (history, *_) = self.make(), self.histories
        policy.ask("e", history, Sampling())
        with pytest.raises(PolicyError, match="twice"):
            policy.ask("e", history, Sampling())


def actions(replies: Mapping[Hashable, Reply]) -> dict[Hashable, tuple[str, tuple[int, ...], str | None]]:
    """What was said, without the last bits of floats."""
    return {e: (r.action, r.tokens, r.stop) for e, r in replies.items()}
