"""The critic that a parameter names (Agent Q §5.1.1): a model's, the policy's own, or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eefcore.errors import ParamsError
from eefcore.policies import check_policy, load_policy, model_path, trainable
from eefcore.protocols import Policy
from eefcore.search.critic import RankingCritic

SELF, NONE = "self", "none"


def critic(
    spec: str,
    policy: Policy,
    *,
    format: str,
    slots: int,
    max_new_tokens: int,
    context: int,
    seed: int,
) -> RankingCritic | None:
    """The ranking critic of `spec`: a model as `load_policy` takes it, `self`, which is `policy`, or `none`.

    `context` is of a model of this machine; an endpoint has its own.

    The paper's is the base model, prompted and never trained; π_θ forgets how to judge as it learns to act.
    """
    if spec == NONE:
        return None
    if spec == SELF:
        return RankingCritic(policy, seed=seed, length=policy.length)
    return model(spec, format=format, slots=slots, max_new_tokens=max_new_tokens, context=context, seed=seed)


def model(
    spec: str, *, format: str, slots: int, max_new_tokens: int, context: int, seed: int
) -> RankingCritic:
    """The ranking critic that a model is, as `load_policy` takes it."""
    judge = load_policy(spec, format=format, slots=slots, max_new_tokens=max_new_tokens, context=context)
    return RankingCritic(judge, seed=seed, length=judge.length)


def latest(spec: str, inputs: Mapping[str, Path]) -> str:
    """The critic that was tuned, where a stage reads one; else the one that its parameter names."""
    return str(inputs["critic"] / "model") if "critic" in inputs else spec


def weights(spec: str) -> str | Path:
    """Where the model of a critic is, to train on.

    Raises:
        ParamsError: it has none of its own here: `self`, `none`, or a model that is only asked.
    """
    if not tunable(spec):
        raise ParamsError(f"14_tune: critic {spec!r} can't be tuned; name a model, as in train.base")
    return model_path(spec)


def tunable(spec: str) -> bool:
    """Whether a critic has weights of its own here, to train on."""
    return spec not in (SELF, NONE) and trainable(spec)


def check(spec: str, *, format: str) -> None:
    """Refuse a critic that no stage could ask, before anything starts.

    Raises:
        PolicyError: no such model, or one that can't be asked in this format.
    """
    if spec not in (SELF, NONE):
        check_policy(spec, format=format)
