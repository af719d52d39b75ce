"""The critic of Agent Q §5.1.1: a model ranks the proposed actions by naming the best, then the best of the rest.

    RankingCritic    the paper's: a prompted policy, usually the base model

A ranking becomes Q̂ linearly: of n actions the best has 1, the next 1 - 1/(n-1), …, the worst 0 (the paper says only
that a ranking stands for an implicit value function). The question goes to the model as the last observation of h_t:
a policy that keeps what it read has the page already, and every policy that can act can be asked (`questions`).
Of composite actions the commands are ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from eefcore.actions import command
from eefcore.protocols import Policy, Sampling
from eefcore.rendering.critic_prompts import BEST_ACTION, TASK_SOLVED, VERDICTS, critic_question, parse_choice
from eefcore.search.scheduler import Question, Talk, draw_seed
from eefcore.search.tally import Tally
from eefcore.types import History


class Ranking(NamedTuple):
    """Q̂ of each action, in the order they were given, and what it took."""

    scores: list[float]
    tally: Tally


class Critic(Protocol):
    """Process supervision, and where no reward may be seen the outcome's as well."""

    policy: Policy | None
    """The model that answers its questions; None for a critic that asks none."""

    def ranking(self, history: History, actions: Sequence[str]) -> Talk[Ranking]:
        """Q̂(h, a) of each action."""

    def verdict(self, history: History) -> Talk[Ranking]:
        """One score: whether the episode that has ended with `history` solved its task."""


class RankingCritic:
    """`policy`, asked n - 1 times for n actions, each time without those that were named before.

    An answer names an action by its number, or by its very words. One that does neither, or that never came, is
    asked for again, first greedily and then as drawn at `temperature` with a seed of its own. After `attempts` in
    vain the ranking stops: what is left has 0.5, or as little as the last that was named, so that none of it
    stands above one that was. Both are counted. `length` tells tokens of a history as `policy` reads it.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        attempts: int = 3,
        temperature: float = 1.0,
        seed: int = 0,
        length: Callable[[History], int] = lambda _: 0,
    ) -> None:
        self.policy, self._length = policy, length
        self._attempts, self._temperature, self._seed = attempts, temperature, seed

    def ranking(self, history: History, actions: Sequence[str]) -> Talk[Ranking]:
        """Best of the rest, until one is left; a single action is the best without being asked about."""
        return self._rank(history, [command(a) for a in actions], BEST_ACTION)

    def verdict(self, history: History) -> Talk[Ranking]:
        """Which of two sentences is true: 1 solved, 0 not, 0.5 if it can't be told (ours; the paper's judge is GPT-4-V)."""
        ranking = yield from self._rank(history, VERDICTS, TASK_SOLVED)
        return Ranking(ranking.scores[:1], ranking.tally)

    def _rank(self, history: History, options: Sequence[str], prompt: str) -> Talk[Ranking]:
        left, order, tally = [*range(len(options))], [], Tally()
        while len(left) > 1:
            picked, took = yield from self._pick(history, [options[i] for i in left], prompt)
            tally += took
            if picked is None:
                tally += Tally(neutral=1)
                break
            order.append(left.pop(picked))
        else:
            order += left
        return Ranking(by_rank(order, len(options)), tally)

    def _pick(self, history: History, options: Sequence[str], prompt: str) -> Talk[tuple[int | None, Tally]]:
        """Which of `options` the model names; None if it names none."""
        asked, tally = critic_question(history, options, prompt), Tally()
        read = self._length(asked) - self._length(history)
        for attempt in range(self._attempts):
            seed = draw_seed(self._seed, asked, "critic", attempt)
            sampling = Sampling(self._temperature if attempt else 0.0, seed)
            (reply,) = yield [Question(asked, sampling, to_critic=True)]
            tally += Tally(critic_asked=1, critic_read=read, tokens_written=len(reply.tokens))
            if (named := parse_choice(reply, options)) is not None:
                return named, tally
            tally += Tally(unparseable=1)
        return None, tally


def by_rank(order: Sequence[int], n: int) -> list[float]:
    """Q̂ of n actions, of which `order` names the best, the second …; those it leaves out are neutral.

    Neutral is 0.5, or the last ranked action's Q̂ where that is less.
    """
    if n == 1:
        return [1.0]
    places = {i: 1.0 - place / (n - 1) for place, i in enumerate(order)}
    rest = min([0.5, *places.values()])
    return [places.get(i, rest) for i in range(n)]
