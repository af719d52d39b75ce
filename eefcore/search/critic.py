"""Rank proposed actions with a model, as the critic of Agent Q §5.1.1: it names the best, then the best of the rest.

    RankingCritic    the paper's critic: a prompted policy, usually the base model

A ranking becomes Q̂ linearly: of n actions the best has 1, the next 1 - 1/(n-1), …, the worst 0. (The paper says only
that a ranking stands for an implicit value function.) The question goes to the model as the last observation of h_t: a
policy that keeps what it read has the page already, and every policy that can act can be asked
(`eefcore.rendering.critic_prompts`). Of composite actions the commands are ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from eefcore.actions import command
from eefcore.protocols import Policy, Sampling
from eefcore.rendering.critic_prompts import BEST_ACTION, TASK_SOLVED, VERDICTS, critic_question, parse_choice
from eefcore.search.cost import Tally
from eefcore.search.scheduler import Request, Requests, draw_seed
from eefcore.types import History


class Ranking(NamedTuple):
    """Q̂ of each action, in the order they were given, and the counts of the questions."""

    scores: list[float]
    tally: Tally


class Critic(Protocol):
    """Supervises the process by ranking actions and, where no reward may be seen, the outcome as well."""

    policy: Policy | None
    """The model that answers its questions; None for a critic that asks none."""

    def ranking(self, history: History, actions: Sequence[str]) -> Requests[Ranking]:
        """Return Q̂(h, a) of each action."""
        raise NotImplementedError

    def verdict(self, history: History) -> Requests[Ranking]:
        """Return one score: whether the episode that has ended with `history` solved its task."""
        raise NotImplementedError


class RankingCritic:
    """Asks `policy` n - 1 times to rank n actions, each time without those that it named before.

    An answer names an action by its number, or by its very words. If it does neither, or never came, the question is
    asked again: first greedily, then sampled at `temperature` with a seed of its own. After `attempts` in vain the
    ranking stops: the actions left get 0.5, or the score of the last named one if that is less, so that none stands
    above an action that was named. Both cases are counted. `length` returns the tokens of a history as `policy` reads it.
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
        self.policy: Policy | None = policy
        self._length = length
        self._attempts, self._temperature, self._seed = attempts, temperature, seed

    def ranking(self, history: History, actions: Sequence[str]) -> Requests[Ranking]:
        """Ask for the best of the rest until one is left; a single action is the best without a question."""
        return self._rank(history, [command(a) for a in actions], BEST_ACTION)

    def verdict(self, history: History) -> Requests[Ranking]:
        """Ask which of two sentences is true: 1 solved, 0 not solved, 0.5 no answer (ours; the paper's judge is GPT-4-V)."""
        ranking = yield from self._rank(history, VERDICTS, TASK_SOLVED)
        return Ranking(ranking.scores[:1], ranking.tally)

    def _rank(self, history: History, options: Sequence[str], prompt: str) -> Requests[Ranking]:
        left, order, tally = [*range(len(options))], [], Tally()
        while len(left) > 1:
            best, question_tally = yield from self._ask_best(history, [options[i] for i in left], prompt)
            tally += question_tally
            if best is None:
                tally += Tally(neutral=1)
                break
            order.append(left.pop(best))
        else:
            order += left
        return Ranking(by_rank(order, len(options)), tally)

    def _ask_best(
        self, history: History, options: Sequence[str], prompt: str
    ) -> Requests[tuple[int | None, Tally]]:
        """Return the index of the option that the model names; None if it names none."""
        question, tally = critic_question(history, options, prompt), Tally()
        n_read = self._length(question) - self._length(history)
        for attempt in range(self._attempts):
            seed = draw_seed(self._seed, question, "critic", attempt)
            sampling = Sampling(self._temperature if attempt else 0.0, seed)
            (reply,) = yield [Request(question, sampling, to_critic=True)]
            tally += Tally(critic_asked=1, critic_read=n_read, tokens_written=len(reply.tokens))
            if (option := parse_choice(reply, options)) is not None:
                return option, tally
            tally += Tally(unparseable=1)
        return None, tally


def by_rank(order: Sequence[int], n: int) -> list[float]:
    """Return Q̂ of n actions, of which `order` names the best, the second, …; those it leaves out are neutral.

    Neutral is 0.5, or the last ranked action's Q̂ where that is less.
    """
    if n == 1:
        return [1.0]
    scores = {i: 1.0 - rank / (n - 1) for rank, i in enumerate(order)}
    neutral = min([0.5, *scores.values()])
    return [scores.get(i, neutral) for i in range(n)]
