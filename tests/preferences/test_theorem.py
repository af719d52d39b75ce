"""Theorem 1 of Agent Q (eq. 8) in a small world with exact values, and where pairs by a threshold lead instead."""

from __future__ import annotations

from random import Random

import pytest
import torch
from helpers.exact_world import (
    REFERENCE,
    Preferences,
    bradley_terry,
    descend,
    distance,
    drawn,
    expected_preferences,
    mean_loss,
    mean_returns,
    minimise,
    objective,
    optimal_values,
    tilted,
)
from helpers.paths import ROOT
from helpers.search_toys import record, settings

from eefcore.preferences.trees import node_pairs
from eefcore.protocols import Reply
from eefcore.search import mcts
from eefcore.search.mcts import Proposal, StepResult
from eefcore.search.settings import Signal
from eefcore.search.tree import Simulation, Tree, new_tree
from eefcore.training.losses import dpo_loss
from eefcore.types import History, StopReason

EXACT = 1e-6
"""How near two policies are, in total variation, where the expectation over preferences is taken in full."""

BETAS = [0.1, 0.5, 1.0]


def by_bradley_terry(q: torch.Tensor) -> Preferences:
    return expected_preferences(bradley_terry, q)


def by_threshold(q: torch.Tensor, theta: float) -> Preferences:
    return expected_preferences(lambda w, l: (w - l >= theta).double(), q)


# What the theorem says -------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", BETAS)
def test_dpo_on_preferences_from_q_converges_to_the_policy_of_eq_8(beta):
    q = optimal_values(beta)
    learned, target = minimise(by_bradley_terry(q), beta), tilted(q, beta)
    assert distance(learned, target) < EXACT
    assert distance(REFERENCE, target) > 0.1  # there was something to learn


@pytest.mark.parametrize("beta", BETAS)
def test_that_policy_is_the_optimum_of_eq_2_if_q_is_its_own_soft_value(beta):
    """Each action's advantage tilts π_ref, so that a trajectory has π*(τ) ∝ π_ref(τ) exp(R(τ)/β)."""
    q = optimal_values(beta)
    learned = minimise(by_bradley_terry(q), beta)
    best = objective(learned, beta)
    assert best == pytest.approx(beta * (REFERENCE[0].log() + q[0] / beta).logsumexp(0).item())
    generator = torch.Generator().manual_seed(0)
    for size in (0.01, 0.1, 1.0):
        noise = size * torch.randn(3, 3, generator=generator, dtype=torch.float64)
        assert objective((learned.log() + noise).softmax(dim=1), beta) < best


@pytest.mark.parametrize("beta", BETAS)
def test_with_the_returns_of_the_reference_it_is_better_than_the_reference_and_not_the_optimum(beta):
    """Q̃ of rollouts by π_ref is Q^{π_ref}, and the theorem's "optimal" needs Q*."""
    learned = minimise(by_bradley_terry(mean_returns(REFERENCE)), beta)
    assert distance(learned, tilted(mean_returns(REFERENCE), beta)) < EXACT
    optimum = objective(tilted(optimal_values(beta), beta), beta)
    assert objective(REFERENCE, beta) < objective(learned, beta) < optimum


def test_drawn_preferences_come_nearer_with_their_number():
    q, beta = optimal_values(0.5), 0.5
    expected, target = by_bradley_terry(q), tilted(q, beta)

    def mean_distance(n: int) -> float:
        return sum(distance(minimise(drawn(expected, n, seed), beta), target) for seed in range(5)) / 5

    few, many = mean_distance(100), mean_distance(20_000)
    assert many < 0.02 < few
    assert few / many == pytest.approx(200**0.5, rel=0.5)  # as 1/√n


MUTANTS = {
    "beta doubled": lambda *logps, beta: dpo_loss(*logps, beta=2 * beta),
    "beta dropped": lambda *logps, beta: dpo_loss(*logps, beta=1.0),
    "no reference": lambda w, l, rw, rl, beta: dpo_loss(w, l, 0 * rw, 0 * rl, beta=beta),
    "references exchanged": lambda w, l, rw, rl, beta: dpo_loss(w, l, rl, rw, beta=beta),
    "sides exchanged": lambda w, l, rw, rl, beta: dpo_loss(l, w, rl, rw, beta=beta),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_loss_with_another_beta_or_reference_does_not_converge_there(mutant):
    beta = 0.5
    q = optimal_values(beta)
    assert distance(minimise(by_bradley_terry(q), beta, mutant), tilted(q, beta)) > 0.05


# Where pairs by a threshold lead ------------------------------------------------------------------------------


def test_pairs_by_a_threshold_have_no_optimum_and_leave_only_what_loses_no_pair():
    """Each pair has one winner for certain, so the loss falls for ever and β sets the pace alone, not the end.

    At θ = ¼ nothing is near enough to another on page 1; on page 2 the first two are (.6, .5), and both beat the third.
    """
    q, theta = optimal_values(0.1), 0.25
    pairs = by_threshold(q, theta)
    end = REFERENCE * torch.tensor([[1, 0, 0], [1, 0, 0], [1, 1, 0]])
    end = end / end.sum(dim=1, keepdim=True)
    for beta in BETAS:
        early, late = (descend(pairs, beta, steps, learning_rate=10.0) for steps in (30, 1000))
        losses = [mean_loss(policy.log(), pairs, beta).item() for policy in (REFERENCE, early, late)]
        assert losses[0] > losses[1] > losses[2] > 0
        assert distance(late, end) < 0.01 < distance(tilted(q, beta), end)
        # Nor is it the policy of eq. 8 at any other β.
        assert min(distance(late, tilted(q, other)) for other in torch.logspace(-3, 2, 100).tolist()) > 0.1


def test_pairs_by_a_threshold_know_the_order_and_not_the_sizes():
    first = torch.tensor([[0.9, 0.5, 0.1]] * 3, dtype=torch.float64)
    second = torch.tensor([[0.9, 0.6, 0.3]] * 3, dtype=torch.float64)
    one, other = (descend(by_threshold(q, 0.25), 0.5, 50) for q in (first, second))
    assert torch.equal(one, other)
    assert distance(tilted(first, 0.5), tilted(second, 0.5)) > 0.05


def searched(page: int, returns: dict[str, float]) -> Tree:
    """A tree in which each action of a page was tried once."""
    t = new_tree(History(f"page {page}", "o"), settings(alpha=1.0, by="reward"), Signal.REWARD)
    mcts.expand(t, 0, [Proposal(Reply(a), StepResult("end", True, r)) for a, r in returns.items()])
    for i, r in enumerate(returns.values(), start=1):
        record(t, Simulation(i, "end", StopReason.DONE, r, (), r))
    return t


def pairs_of(trees: list[Tree], theta: float) -> Preferences:
    """`node_pairs` of the trees, as preferences on the pages of the exact world."""
    found = node_pairs(trees, theta=theta)
    sides = [[int(s.trajectory.actions[s.first]) for s in (p.chosen, p.rejected)] for p in found]
    chosen, rejected = torch.tensor(sides).T
    pages = torch.tensor([int(p.chosen.trajectory.task_id.removeprefix("page ")) for p in found])
    return Preferences(pages, chosen, rejected, torch.ones(len(found), dtype=torch.float64))


def test_the_pairs_of_a_tree_with_exact_values_are_those_of_the_threshold():
    q = optimal_values(0.1)
    trees = [searched(h, {str(a): q[h, a].item() for a in range(3)}) for h in range(3)]
    made, expected = pairs_of(trees, 0.25), by_threshold(q, 0.25)
    kept = expected.weights > 0
    assert {*zip(*(x.tolist() for x in made[:3]), strict=True)} == {
        *zip(*(x[kept].tolist() for x in expected[:3]), strict=True)
    }


WINNABLE = torch.tensor([[0.8, 0.5, 0.3], [0.9, 0.1, 0.4], [0.6, 0.5, 0.2]], dtype=torch.float64)
"""Chances to win, none of them certain."""


@pytest.mark.parametrize("beta", BETAS)
def test_one_win_against_one_loss_converges_to_the_odds(beta):
    """A win (1) and a loss (0) are a pair at any θ: a beats b with Q_a (1 − Q_b), so the odds Q/(1 − Q) stand for exp Q.

    That is Bradley and Terry's model with logit Q in the place of Q.
    """
    pairs = expected_preferences(lambda w, l: w * (1 - l), WINNABLE)
    assert distance(minimise(pairs, beta), tilted(WINNABLE.logit(), beta)) < EXACT
    assert distance(minimise(pairs, beta), tilted(WINNABLE, beta)) > 0.05


def test_many_searches_of_one_visit_converge_to_the_odds_as_well():
    """The same through `node_pairs`: 1,500 trees a page, in each of which every action is tried once."""
    dice = Random(0)
    trees = [
        searched(h, {str(a): float(dice.random() < WINNABLE[h, a].item()) for a in range(3)})
        for h in range(3)
        for _ in range(1500)
    ]
    pairs = pairs_of(trees, theta=0.25)
    assert all(map(torch.equal, pairs, pairs_of(trees, theta=1.0)))
    learned = minimise(pairs, 1.0)
    assert distance(learned, tilted(WINNABLE.logit(), 1.0)) < 0.05
    assert distance(learned, tilted(WINNABLE, 1.0)) > 0.1


# What the documentation says --------------------------------------------------------------------------------


def test_the_table_of_the_documentation_matches_what_is_computed():
    beta, theta = 0.1, 0.25
    q, returns = optimal_values(beta), mean_returns(REFERENCE)
    pairs = by_threshold(q, theta)
    policies = [
        REFERENCE,
        tilted(q, beta),
        minimise(by_bradley_terry(q), beta),
        minimise(by_bradley_terry(returns), beta),
        *(descend(pairs, beta, steps) for steps in (100, 300, 1000)),
    ]
    expected = []
    for policy in policies:
        pages = (", ".join(f"{100 * p:.0f}" for p in page) for page in policy.tolist())
        expected.append([*pages, f"{objective(policy, beta):.3f}"])
    text = (ROOT / "docs" / "evidence" / "agent_q.md").read_text("utf-8")
    section = text.split("## Theorem 1")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ")[1:] for line in section.splitlines() if line.startswith("| ")]
    assert rows[1:] == expected
