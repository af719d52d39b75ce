"""Load the critic that a parameter names (Agent Q §5.1.1): a model, the policy itself, or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eefcore.errors import ParamsError
from eefcore.policies.loading import check_policy, is_trainable, load_policy, model_path
from eefcore.policies.settings import PolicySettings
from eefcore.protocols import Policy
from eefcore.search.critic import RankingCritic

SELF, NONE = "self", "none"


def load_critic(spec: str, policy: Policy, settings: PolicySettings, *, seed: int) -> RankingCritic | None:
    """Return the ranking critic of `spec`: a model as `load_policy` reads it, `self` for `policy`, or `none`.

    The paper's critic is the base model, prompted and never trained; π_θ forgets how to judge as it learns to act.
    """
    if spec == NONE:
        return None
    if spec == SELF:
        return RankingCritic(policy, seed=seed, length=policy.length)
    return critic_from_model(spec, settings.for_critic(), seed=seed)


def critic_from_model(spec: str, settings: PolicySettings, *, seed: int) -> RankingCritic:
    """Load a model as `load_policy` does, and return it as a ranking critic."""
    judge = load_policy(spec, settings)
    return RankingCritic(judge, seed=seed, length=judge.length)


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
