"""A tree of pages whose values are known exactly, and a tabular softmax policy that learns from preferences in it.

    page 0   action 0 → page 1    action 1 → page 2    action 2 ends with .4
    page 1   ends with 1, 0, .3
    page 2   ends with .6, .5, 0

A policy, its log-likelihoods and its values have the shape [H, A]: pages and actions, three of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from eefcore.training.losses import DPOLoss, dpo_loss

REWARDS = torch.tensor([[0.0, 0.0, 0.4], [1.0, 0.0, 0.3], [0.6, 0.5, 0.0]], dtype=torch.float64)
NEXT_PAGE = {(0, 0): 1, (0, 1): 2}
REFERENCE = torch.tensor([[0.5, 0.2, 0.3], [0.1, 0.6, 0.3], [0.2, 0.3, 0.5]], dtype=torch.float64)
"""π_ref, which is likeliest to go wrong on page 1."""


class Preferences(NamedTuple):
    """P = {h, a^w, a^l}, equal ones once with their number or probability; all have the shape [P]."""

    pages: Tensor
    chosen: Tensor
    rejected: Tensor
    weights: Tensor


# Values ----------------------------------------------------------------------------------------------------


def back_up(value: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Return Q: the reward, and `value(Q(h, ·), h)` of the page that an action leads to, from the last pages up."""
    q = REWARDS.clone()
    for (page, action), after in sorted(NEXT_PAGE.items(), reverse=True):
        q[page, action] += value(q[after], after)
    return q


def mean_returns(policy: Tensor) -> Tensor:
    """Return Q^π, the mean return of rollouts by π: what Q̃ of eq. 7 estimates where π rolls out."""
    return back_up(lambda q, page: (policy[page] * q).sum())


def optimal_values(beta: float, reference: Tensor = REFERENCE) -> Tensor:
    """Return Q* of eq. 2, whose value is soft: V(h) = β log Σ_a π_ref(a|h) exp(Q*(h, a)/β)."""
    return back_up(lambda q, page: beta * (reference[page].log() + q / beta).logsumexp(0))


def tilted(q: Tensor, beta: float, reference: Tensor = REFERENCE) -> Tensor:
    """Return π(a|h) ∝ π_ref(a|h) exp(Q(h, a)/β) (eq. 8)."""
    return (reference.log() + q / beta).softmax(dim=1)


def objective(policy: Tensor, beta: float) -> float:
    """Return eq. 2 of π at the first page: the mean return minus β times the divergence from π_ref."""

    def value(q: Tensor, page: int) -> Tensor:
        return (policy[page] * (q - beta * (policy[page] / REFERENCE[page]).log())).sum()

    return value(back_up(value)[0], 0).item()


def distance(policy: Tensor, other: Tensor) -> float:
    """Return the largest total variation of two policies on a page."""
    return 0.5 * (policy - other).abs().sum(dim=1).max().item()


# Preferences -----------------------------------------------------------------------------------------------


def expected_preferences(probability: Callable[[Tensor, Tensor], Tensor], q: Tensor) -> Preferences:
    """Return every ordered pair of actions with `probability(Q(h, a^w), Q(h, a^l))` as its weight."""
    pages, chosen, rejected = (
        index.flatten() for index in torch.meshgrid(*[torch.arange(3)] * 3, indexing="ij")
    )
    two = chosen != rejected
    pages, chosen, rejected = pages[two], chosen[two], rejected[two]
    return Preferences(pages, chosen, rejected, probability(q[pages, chosen], q[pages, rejected]))


def bradley_terry(q_chosen: Tensor, q_rejected: Tensor) -> Tensor:
    """Return p(a^w > a^l | h) = σ(Q(h, a^w) − Q(h, a^l)), as Theorem 1 has it."""
    return torch.sigmoid(q_chosen - q_rejected)


def drawn(preferences: Preferences, n: int, seed: int) -> Preferences:
    """Draw `n` comparisons of every two actions; the weights become numbers of pairs."""
    generator = torch.Generator().manual_seed(seed)
    wins = torch.binomial(torch.full_like(preferences.weights, n), preferences.weights, generator=generator)
    first = preferences.chosen < preferences.rejected
    # Each comparison has one winner: the second order of two actions gets what the first left.
    by_pair = {
        (h, w, l): k
        for h, w, l, k in zip(
            *(x[first].tolist() for x in preferences[:3]), wins[first].tolist(), strict=True
        )
    }
    counts = [
        by_pair[h, w, l] if (h, w, l) in by_pair else n - by_pair[h, l, w]
        for h, w, l in zip(*(x.tolist() for x in preferences[:3]), strict=True)
    ]
    return preferences._replace(weights=torch.tensor(counts, dtype=torch.float64))


# Learning --------------------------------------------------------------------------------------------------

Loss = Callable[..., DPOLoss]
"""A loss that is called as `losses.dpo_loss` is."""


def mean_loss(logits: Tensor, preferences: Preferences, beta: float, loss: Loss = dpo_loss) -> Tensor:
    """Return L_DPO of the softmax of `logits`, averaged over the preferences."""
    pages, chosen, rejected, weights = preferences
    log_pi, log_ref = logits.log_softmax(dim=1), REFERENCE.log()
    of_pair = (table[pages, side] for table in (log_pi, log_ref) for side in (chosen, rejected))
    return (weights * loss(*of_pair, beta=beta).loss).sum() / weights.sum()


def minimise(preferences: Preferences, beta: float, loss: Loss = dpo_loss) -> Tensor:
    """Return the policy at the minimum of L_DPO, from π_ref on; the loss is convex in the logits."""
    logits = REFERENCE.log().clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [logits], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = mean_loss(logits, preferences, beta, loss)
        value.backward()
        return value

    optimiser.step(closure)
    return logits.detach().softmax(dim=1)


def descend(preferences: Preferences, beta: float, steps: int, learning_rate: float = 1.0) -> Tensor:
    """Return the policy after `steps` of plain gradient descent on L_DPO, from π_ref on."""
    logits = REFERENCE.log().clone().requires_grad_()
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(mean_loss(logits, preferences, beta), logits)
        logits = (logits - learning_rate * gradient).detach().requires_grad_()
    return logits.detach().softmax(dim=1)
