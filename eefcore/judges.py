"""The critic that a parameter names (Agent Q §5.1.1): a model's, the policy's own, or none."""

from __future__ import annotations

from eefcore.policies import load_policy
from eefcore.policies.conditioned import Measured
from eefcore.search.critic import RankingCritic

SELF, NONE = "self", "none"


def critic(
    spec: str,
    policy: Measured,
    *,
    format: str,
    slots: int,
    max_new_tokens: int,
    context: int,
    seed: int,
) -> RankingCritic | None:
    """The ranking critic of `spec`: a model as `load_policy` takes it, `self`, which is `policy`, or `none`.

    The paper's is the base model, prompted and never trained; π_θ forgets how to judge as it learns to act.
    """
    if spec == NONE:
        return None
    if spec == SELF:
        return RankingCritic(policy, seed=seed, length=policy.length)
    judge = load_policy(spec, format=format, slots=slots, max_new_tokens=max_new_tokens, context=context)
    return RankingCritic(judge, seed=seed, length=judge.length)
