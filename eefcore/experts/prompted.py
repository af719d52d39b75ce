"""Language models as experts: any policy of `load_policy` plays tasks, prompted as the papers prompt theirs (EEF §4.1).

    strong                                            a scripted expert of the environment
    strong?give_up=0.2&after_next=3                   the same with mistake rates of its own
    strong+weak                                       names without `:` and `/` are joined by a plus
    openai:https://host/v1#gpt-4 + smollm2            all others by a plus between blanks, since an address may hold one

GPT-4 and GPT-3.5 of the paper act by AgentLite's prompt with one example, at temperature 0 and with at most 256 tokens an
action; the experts of ScienceWorld by AgentGym's; Agent Q's by its composite prompt. An episode that a failure of the model
or of its endpoint ended says nothing of the expert: it is left out and counted. Its ids stay with an action, its
likelihoods do not: they are of another model than the one that learns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import PurePosixPath
from typing import Any, ClassVar

from msgspec.structs import replace

from eefcore.envs.registry import card_name, expert_prompt
from eefcore.errors import ParamsError, PolicyError
from eefcore.experts.demonstrate import Demonstrator
from eefcore.experts.registry import ScriptedExperts, experts_of_card
from eefcore.policies.loading import BASES, check_policy, load_policy
from eefcore.policies.openai.options import read_endpoint
from eefcore.policies.settings import PolicySettings, read_engine
from eefcore.protocols import Benchmark, Policy
from eefcore.rollout.exploration import initial_starts
from eefcore.rollout.rollout import Start, rollout
from eefcore.storage.cost import rollout_cost
from eefcore.storage.journal import Journal
from eefcore.training.model_store import is_stored
from eefcore.types import Trajectory

_MESSAGES = {"agentlite": "agentlite_chat", "composite": "composite_chat"}
"""The formats that say to a chat interface what a format of text says."""

_NOMINAL_CONTEXT = 8192
"""Tokens of the longest dialogue, where experts are put in order by price and no budget needs the right number."""


def split_experts(text: str) -> list[str]:
    """Return the experts that a parameter names, in order."""
    parts = [part.strip() for part in re.split(r"\s\+\s", text)]
    return [
        name.strip() for part in parts for name in ([part] if re.search("[:/]", part) else part.split("+"))
    ]


def expert_name(spec: str) -> str:
    """Return the name under which a language model's trajectories are recorded: `gpt-4`, or the last word of a path.

    Of the folder `model` of a training stage it is the stage's name.
    """
    kind, _, rest = spec.partition(":")
    if kind == "openai":
        return rest.partition("#")[2].partition("?")[0]
    path = PurePosixPath(rest if kind in ("hf", "vllm") else spec)
    return path.parent.name if path.name == "model" and path.parent.name else path.name


def choose_prompt(prompt: str | None, spec: str, card: str) -> str:
    """Return the format that prompts an expert: `prompt`, or if it is None that of the papers for the environment of a card.

    Raises:
        ParamsError: the papers have none for the environment.
    """
    chosen = _papers_prompt(spec, card) if prompt is None else prompt
    if not chosen:
        raise ParamsError(
            f"02_expert: expert {spec!r}: the papers prompt no agent of {card}; name a prompt of your own, as in "
            "prompt: my_module:format"
        )
    return chosen


def _papers_prompt(spec: str, card: str) -> str:
    own = expert_prompt(card)
    is_chat = spec.startswith("openai:") and not read_endpoint(spec).options.tokenizer
    return _MESSAGES.get(own, own) if is_chat else own


def check_experts(
    names: Sequence[str], scripted: ScriptedExperts | None, card: str, prompt: str | None
) -> None:
    """Refuse experts that are neither scripted nor a policy, or two of one name, before anything is loaded.

    Raises:
        ParamsError: with what can be chosen.
    """
    strengths = scripted.strengths if scripted else ()
    for name in names:
        if scripted and scripted.has(name):
            scripted.check(name)
            continue
        try:
            check_policy(name, format=prompt or _papers_prompt(name, card) or "agentlite")
        except PolicyError as error:
            choices = (
                f"choose one of {', '.join(strengths)}"
                if strengths
                else f"no scripted expert for {card}; give 02_expert a `file` of trajectories instead"
            )
            raise ParamsError(
                f"no expert {name!r} for {card}; {choices}, or a language model ({error})"
            ) from error
        choose_prompt(prompt, name, card)
    called = [name if scripted and scripted.has(name) else expert_name(name) for name in names]
    if twice := next((name for name in called if called.count(name) > 1), None):
        raise ParamsError(
            f"02_expert: two experts are called {twice!r}, and their trajectories could not be told apart; name each once"
        )


def language_models(text: str, benchmark: str) -> list[str]:
    """Return the language models among the experts that a parameter names, for a benchmark that is not loaded.

    Of a benchmark of your own nobody knows the scripted experts by then, so an unknown word is taken for one.
    """
    card = card_name(benchmark)
    scripted = experts_of_card(card) if card else None
    names = [name for name in split_experts(text) if not (scripted and scripted.has(name))]
    return [n for n in names if card or re.search("[:/]", n) or n in BASES or is_stored(n)]


def check_planned(p: Any) -> None:
    """Refuse the parameters of an expert stage that can't play its experts, before anything starts.

    Raises:
        ParamsError, PolicyError: with what can be chosen.
    """
    card, models = card_name(p.benchmark), language_models(p.expert, p.benchmark)
    if card:
        check_experts(split_experts(p.expert), experts_of_card(card), card, p.prompt)
    else:
        check_experts(models, None, p.benchmark, p.prompt)
    if models:
        _check_samples(p.samples, p.temperature)
        for spec in models:
            _check_budget(spec, p.budget, p.context)


def _check_samples(samples: int, temperature: float) -> None:
    if samples < 1 or (samples > 1 and not temperature):
        raise ParamsError(
            f"02_expert: samples {samples} at temperature {temperature:g}: a language model plays each task at least "
            "once, and at temperature 0 every time alike; set a temperature, such as 0.7"
        )


def _check_budget(spec: str, budget: float | None, context: int | None) -> None:
    """Refuse a budget for a model without a known price; models of this machine cost no money."""
    if budget is None or not spec.startswith("openai:"):
        return
    priced = read_endpoint(spec).price is not None
    if not priced or context is None:
        missing = "context, the tokens of its longest dialogue" if priced else "prices, as in ?prices=30/60"
        raise ParamsError(
            f"02_expert: expert {spec!r}: a budget of ${budget:g} needs to know what an episode may cost; give {missing}"
        )


class PromptedExperts:
    """The language models among the experts of a stage, each loaded when it is first asked for.

    Attributes:
        prompt: the format that prompts them; None is that of the papers.
    """

    SETTINGS: ClassVar = ("template_args", "slots", "max_new_tokens", "context")
    OWN: ClassVar = ("prompt", "temperature", "samples", "seed", "chunk")

    def __init__(
        self,
        settings: PolicySettings,
        *,
        prompt: str | None = None,
        temperature: float = 0.0,
        samples: int = 1,
        seed: int = 0,
        chunk: int = 600,
        journal: Callable[[str], Journal[Trajectory]],
        progress: Callable[[int, str], Any],
    ) -> None:
        """`journal` and `progress` are a stage's; `settings` say how a model is played, whose format `prompt` decides."""
        _check_samples(samples, temperature)
        self._settings, self.prompt, self._temperature, self._samples = settings, prompt, temperature, samples
        self._seed, self._chunk, self._journal, self._progress = seed, chunk, journal, progress
        self._policies: dict[str, Policy] = {}
        self._bar: Any = None

    @classmethod
    def of(
        cls, p: Any, *, journal: Callable[[str], Journal[Trajectory]], progress: Callable[[int, str], Any]
    ) -> PromptedExperts:
        """Return the language models of a stage with the parameters `p`."""
        settings = PolicySettings(
            engine=read_engine(p.engine), **{name: getattr(p, name) for name in cls.SETTINGS}
        )
        own = {name: getattr(p, name) for name in cls.OWN}
        return cls(settings, **own, journal=journal, progress=progress)

    def demonstrator(
        self, benchmark: Benchmark, spec: str, split: str, *, budget: float | None = None
    ) -> Demonstrator:
        """Return a model as a demonstrator of the tasks of a split; on a panel it plays each task once.

        Raises:
            PolicyError: it can't be loaded.
            ParamsError: there is a budget, and nobody knows what an episode may cost.
        """
        policy, name, calls = self._policy(benchmark, spec), expert_name(spec), count()
        samples = self._samples if split == "train" else 1

        def demonstrate(tasks: Sequence[str]) -> list[Trajectory]:
            starts = initial_starts(benchmark, tasks, (self._temperature,) * samples, seed=self._seed)
            bar = self._more(len(starts))
            journal = self._journal(f"{split}.{re.sub(r'[^A-Za-z0-9.-]', '_', name)}.{next(calls)}")
            played = journal.run(
                starts, self._chunk, lambda part: self._play(policy, benchmark, spec, part), on_resume=bar
            )
            return [as_demonstration(t, policy, name) for t in played]

        return Demonstrator(
            name, samples * self._highest_cost(policy, benchmark, spec, budget), demonstrate, True
        )

    def _policy(self, benchmark: Benchmark, spec: str) -> Policy:
        if spec not in self._policies:
            format = choose_prompt(self.prompt, spec, benchmark.card.name)
            self._policies[spec] = load_policy(spec, replace(self._settings, format=format))
        return self._policies[spec]

    def _more(self, episodes: int) -> Any:
        self._bar = self._bar or self._progress(0, "episodes")
        self._bar.more(episodes)
        return self._bar

    def _play(
        self, policy: Policy, benchmark: Benchmark, spec: str, starts: Sequence[Start]
    ) -> list[Trajectory]:
        """Play episodes, none of which is kept if the model failed in all: a rerun asks again.

        Raises:
            PolicyError: the model failed in all.
        """
        played = rollout(
            policy, benchmark.make, starts, max_turns=benchmark.max_turns, on_end=lambda _: self._bar()
        )
        if len(played) > 1 and all(t.stop.infrastructure for t in played):
            reason = played[0].reason or played[0].stop.value
            raise PolicyError(
                f"02_expert: expert {spec!r} failed in all {len(played)} episodes that were begun last, and they are not "
                f"recorded: {reason}. See to it and run this again: what was played before is kept"
            )
        return played

    def _highest_cost(self, policy: Policy, benchmark: Benchmark, spec: str, budget: float | None) -> float:
        """Return the dollars that an episode may cost: each turn reads and writes at most what `context` and limits allow."""
        if not spec.startswith("openai:"):
            return 0.0
        _check_budget(spec, budget, self._settings.context)
        price, context = getattr(policy, "price", None), self._settings.context
        each = price.of(context or _NOMINAL_CONTEXT, self._settings.max_new_tokens) if price else 0.0
        return benchmark.max_turns * each


def as_demonstration(t: Trajectory, policy: Policy, name: str) -> Trajectory:
    """Return an episode of `policy` as the demonstration of the expert `name`: all of its actions are the expert's."""
    renderer, cost = getattr(policy, "renderer", None), rollout_cost([t], policy.length)
    tokenizer = renderer.fingerprint if renderer else ""
    steps = tuple(
        replace(s, logps=(), **({"tokenizer": tokenizer} if tokenizer else {"tokens": ()}))
        for s in t.history.steps
    )
    return replace(
        t,
        history=replace(t.history, steps=steps),
        n_expert=len(t),
        source=name,
        tokens_read=cost.tokens_read,
        tokens_written=cost.tokens_written,
    )
