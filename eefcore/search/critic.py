"""Rank proposed actions with a model, as the critic of Agent Q §5.1.1: it names the best, then the best of the rest.

    RankingCritic    the paper's critic: a prompted policy, usually the base model
    load_critic      the critic that a parameter names: a model, the policy itself, or none

A ranking becomes Q̂ linearly: of n actions the best has 1, the next 1 - 1/(n-1), …, the worst 0. (The paper says only
that a ranking stands for an implicit value function.) The question goes to the model as the last observation of h_t: a
policy that keeps what it read has the page already, and every policy that can act can be asked
(`eefcore.rendering.critic_prompts`). Of composite actions the commands are ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple, Protocol

from eefcore.actions import command
from eefcore.errors import ParamsError
from eefcore.policies.loading import check_policy, is_trainable, load_policy, model_path
from eefcore.policies.settings import PolicySettings
from eefcore.protocols import Policy, Sampling
from eefcore.rendering.critic_prompts import (
    BEST_ACTION,
    TASK_SOLVED,
    VERDICTS,
    critic_question,
    parse_choice,
    possible_answers,
)
from eefcore.search.scheduler import Request, Requests, draw_seed
from eefcore.search.tree import Tally, answer_tally
from eefcore.types import History

SELF, NONE = "self", "none"


class Ranking(NamedTuple):
    """The critic's score Q̂ of each action, in the order given, and how many questions it was asked."""

    scores: list[float]
    tally: Tally


class Critic(Protocol):
    """A critic that ranks actions and, where the search may not see the reward, judges outcomes as well."""

    policy: Policy | None
    """The model that answers its questions; None for a critic that asks none."""

    def ranking(self, history: History, actions: Sequence[str]) -> Requests[Ranking]:
        """Return Q̂(h, a) of each action."""
        raise NotImplementedError

    def verdict(self, history: History) -> Requests[Ranking]:
        """Return one score: whether the episode that has ended with `history` solved its task."""
        raise NotImplementedError


class RankingCritic:
    """A critic that asks `policy` n - 1 times to rank n actions, each time without those that it named before.

    An answer names an action by its number, or by its very words. A policy that `chooses` can give no other answer;
    where actions are composite it may think first, and is held to these answers only if its own names nothing. Any other
    policy is asked again, sampled at `temperature` with a seed of its own, `attempts` times in all. If nothing is named in
    the end the ranking stops, and the actions left are neutral (`by_rank`). Both cases are counted. `length` returns the
    tokens of a history as `policy` reads it.
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
        """Rank actions by asking for the best of the remaining ones until one is left; a single action needs no question."""
        commands = [command(a) for a in actions]
        return self._rank(history, commands, BEST_ACTION, composite=commands != [*actions])

    def verdict(self, history: History) -> Requests[Ranking]:
        """Ask which of two sentences is true: 1 solved, 0 not solved, 0.5 no answer (ours; the paper's judge is GPT-4-V)."""
        composite = any(command(a) != a for a in history.actions)
        ranking = yield from self._rank(history, VERDICTS, TASK_SOLVED, composite=composite)
        return Ranking(ranking.scores[:1], ranking.tally)

    def _rank(
        self, history: History, options: Sequence[str], prompt: str, *, composite: bool
    ) -> Requests[Ranking]:
        left, order, tally = [*range(len(options))], [], Tally()
        while len(left) > 1:
            offered = [options[i] for i in left]
            best, question_tally = yield from self._ask_best(history, offered, prompt, composite)
            tally += question_tally
            if best is None:
                tally += Tally(neutral=1)
                break
            order.append(left.pop(best))
        else:
            order += left
        return Ranking(by_rank(order, len(options)), tally)

    def _ask_best(
        self, history: History, options: Sequence[str], prompt: str, composite: bool
    ) -> Requests[tuple[int | None, Tally]]:
        """Return the index of the option that the model names; None if it names none."""
        question, tally = critic_question(history, options, prompt), Tally()
        n_read = self._length(question) - self._length(history)
        for sampling in self._samplings(question, options, composite):
            (reply,) = yield [Request(question, sampling, to_critic=True)]
            tally += Tally(critic_asked=1, critic_read=n_read) + answer_tally([reply])
            if (option := parse_choice(reply, options)) is not None:
                return option, tally
            tally += Tally(unparseable=1)
        return None, tally

    def _samplings(self, question: History, options: Sequence[str], composite: bool) -> Iterator[Sampling]:
        """Yield the sampling of each attempt, until an answer names an option."""
        seeds = (draw_seed(self._seed, question, "critic", attempt) for attempt in count())
        if getattr(self.policy, "chooses", False):
            if composite:
                yield Sampling(0.0, next(seeds))
            yield Sampling(0.0, next(seeds), possible_answers(options, composite=composite))
        else:
            yield Sampling(0.0, next(seeds))
            for seed in islice(seeds, self._attempts - 1):
                yield Sampling(self._temperature, seed)


def by_rank(order: Sequence[int], n: int) -> list[float]:
    """Return Q̂ of n actions, of which `order` names the best, the second, …; those it leaves out are neutral.

    Neutral is 0.5, or the last ranked action's Q̂ where that is less.
    """
    if n == 1:
        return [1.0]
    scores = {i: 1.0 - rank / (n - 1) for rank, i in enumerate(order)}
    neutral = min([0.5, *scores.values()])
    return [scores.get(i, neutral) for i in range(n)]


def load_critic(spec: str, policy: Policy, settings: PolicySettings, *, seed: int) -> RankingCritic | None:
    """Return the ranking critic of `spec`: a model as `load_policy` reads it, `self` for `policy`, or `none`.

    The paper's critic is the base model, prompted and never trained; π_θ forgets how to judge as it learns to act.
    """
    if spec == SELF:
        return RankingCritic(policy, seed=seed, length=policy.length)
    return None if spec == NONE else critic_from_model(spec, settings.for_critic(), seed=seed)


def critic_from_model(spec: str, settings: PolicySettings, *, seed: int) -> RankingCritic:
    """Load a model as `load_policy` does, and return it as a ranking critic."""
    model = load_policy(spec, settings)
    return RankingCritic(model, seed=seed, length=model.length)


def resolve_critic(spec: str, inputs: Mapping[str, Path]) -> str:
    """Return the tuned critic if a stage reads one, else the critic that its parameter names."""
    return str(inputs["critic"] / "model") if "critic" in inputs else spec


def critic_weights(spec: str) -> str | Path:
    """Return where the weights of a critic are, to train on.

    Raises:
        ParamsError: the critic has no weights here: `self`, `none`, or a model behind an endpoint.
    """
    if not is_tunable(spec):
        raise ParamsError(f"14_tune: critic {spec!r} can't be tuned; name a model, as in train.base")
    return model_path(spec)


def is_tunable(spec: str) -> bool:
    """Return whether a critic has weights of its own here, to train on."""
    return spec not in (SELF, NONE) and is_trainable(spec)


def check_critic(spec: str, *, format: str) -> None:
    """Refuse a critic that no stage could ask, before anything starts.

    Raises:
        PolicyError: there is no such model, or it can't be asked in this format.
    """
    if spec not in (SELF, NONE):
        check_policy(spec, format=format)
