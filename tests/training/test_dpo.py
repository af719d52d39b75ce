"""DPO minimises the papers' loss for any micro-batch size, from stored references alone."""

import math

import pytest
import torch
from helpers.dpo_runs import logp, run, some_pairs
from helpers.sft_runs import some_rows, tiny

from eefcore.errors import DivergenceError
from eefcore.training.losses import dpo_loss
from eefcore.training.references import Pair
from eefcore.training.rows import IGNORE, Row


def by_definition(model, pairs, *, beta=0.5, sft_weight=0.0):
    """Return the loss pair by pair, unpadded: the mean of −log σ(β …) + w · NLL per token of the chosen."""
    each = []
    for p in pairs:
        chosen, rejected = (sum(logp(model, row) for row in side) for side in (p.chosen, p.rejected))
        reference = torch.tensor([sum(p.chosen_logps)]), torch.tensor([sum(p.rejected_logps)])
        loss = dpo_loss(chosen, rejected, *reference, beta=beta).loss
        each.append(loss - sft_weight * chosen / sum(row.n_trained for row in p.chosen))
    return torch.cat(each).mean()


@pytest.mark.parametrize(
    "cut", [{}, {"batch_tokens": 100}, {"batch_tokens": 1, "gradient_checkpointing": True}]
)
@pytest.mark.parametrize("sft_weight", [0.0, 0.3])
def test_the_gradient_is_that_of_the_global_batch(tmp_path, cut, sft_weight):
    pairs, model, expected = some_pairs(4, tiny(1)), tiny(), tiny()
    by_definition(expected, pairs, sft_weight=sft_weight).backward()
    seen = {}
    for name, p in model.named_parameters():
        p.register_post_accumulate_grad_hook(lambda p, name=name: seen.update({name: p.grad.clone()}))
    trained = run(model, pairs, tmp_path, sft_weight=sft_weight, **cut)
    assert trained.curves.loss == pytest.approx([by_definition(tiny(), pairs, sft_weight=sft_weight).item()])
    for name, p in expected.named_parameters():
        torch.testing.assert_close(seen[name], p.grad, rtol=1e-4, atol=3e-6)


@pytest.mark.parametrize("batch_tokens", [10_000, 60, 1])
def test_pairs_that_begin_alike_weigh_what_they_weigh_alone(tmp_path, batch_tokens):
    """Both sides go on from one history; a side is in two pairs; and a side has two rows."""
    (history, *_), ends = some_rows(1), [[5, 6], [5, 7, 8], [9]]
    a, b, c = (Row(history.tokens + end, [IGNORE] * len(history.tokens) + end) for end in ends)
    logps = [(-3.0, -2.0), (-3.5, -1.0, -4.0), (-2.5,)]
    pairs = [
        Pair((a,), (b,), logps[0], logps[1]),
        Pair((a,), (c,), logps[0], logps[2]),
        Pair((c, b), (a,), (*logps[2], *logps[1]), logps[0]),
    ]
    expected, model, seen = tiny(), tiny(), {}
    by_definition(expected, pairs, sft_weight=0.3).backward()
    for name, p in model.named_parameters():
        p.register_post_accumulate_grad_hook(lambda p, name=name: seen.update({name: p.grad.clone()}))
    trained = run(model, pairs, tmp_path, batch_tokens=batch_tokens, sft_weight=0.3)
    assert trained.curves.loss == pytest.approx([by_definition(tiny(), pairs, sft_weight=0.3).item()])
    for name, p in expected.named_parameters():
        torch.testing.assert_close(seen[name], p.grad, rtol=1e-4, atol=3e-6)


def test_a_policy_that_is_its_reference_has_no_margin(tmp_path):
    trained = run(tiny(), some_pairs(4), tmp_path)
    assert trained.curves.loss == pytest.approx([math.log(2)], abs=1e-5)
    for values in (trained.curves.margin, trained.curves.chosen, trained.curves.rejected):
        assert values == pytest.approx([0.0], abs=1e-5)


def test_logged_metrics_are_means_over_the_global_batch(tmp_path):
    """Five pairs in batches of four, one pass a pair, under another reference: each by definition."""
    pairs, start = some_pairs(5, tiny(1)), tiny()
    trained = run(tiny(), pairs, tmp_path, learning_rate=0.0, batch_tokens=1)
    with torch.no_grad():
        ratios = [
            [0.5 * (logp(start, row).item() - sum(old)) for (row,), old in ((p[0], p[2]), (p[1], p[3]))]
            for p in pairs
        ]
    mean = [(4 * a + b) / 5 for a, b in [trained.curves.chosen, trained.curves.rejected]]
    assert mean == pytest.approx([sum(r[i] for r in ratios) / 5 for i in (0, 1)], rel=1e-4)
    share = sum(c > r for c, r in ratios) / 5
    assert 0 < share < 1
    assert (4 * trained.curves.accuracy[0] + trained.curves.accuracy[1]) / 5 == pytest.approx(share)
    for margin, c, r in zip(
        trained.curves.margin, trained.curves.chosen, trained.curves.rejected, strict=True
    ):
        assert margin == pytest.approx(c - r, rel=1e-4)


def test_dpo_makes_the_chosen_more_likely_than_the_rejected(tmp_path):
    model, pairs = tiny(), some_pairs(8)
    trained = run(model, pairs, tmp_path, epochs=20, learning_rate=5e-3)
    assert trained.curves.loss[-1] < 0.3 < trained.curves.loss[0]
    assert trained.curves.accuracy[-1] == 1.0 and trained.curves.margin[-1] > 1.0
    with torch.no_grad():
        assert all(
            logp(model, *p.chosen) - sum(p.chosen_logps) > logp(model, *p.rejected) - sum(p.rejected_logps)
            for p in pairs
        )


def test_the_sft_term_keeps_the_chosen_actions_likely(tmp_path):
    plain, kept = (
        run(tiny(), some_pairs(8), tmp_path, epochs=20, learning_rate=5e-3, sft_weight=w) for w in (0.0, 1.0)
    )
    assert kept.curves.chosen[-1] > plain.curves.chosen[-1]


def test_dpo_reports_each_step_its_curves_and_its_cost(tmp_path):
    heard, pairs = [], some_pairs(10)
    trained = run(tiny(), pairs, tmp_path, epochs=2, on_step=lambda *step: heard.append(step))
    n = sum(label != IGNORE for p in pairs for row in (*p.chosen, *p.rejected) for label in row.labels)
    assert trained.curves.last()["margin"] == pytest.approx(sum(trained.curves.margin) / 6)
    assert trained.cost.tokens_trained == 2 * n and trained.cost.seconds > 0
    assert [(done, total) for done, total, _ in heard] == [(i + 1, 6) for i in range(6)]
    assert {len(v) for v in trained.curves} == {6}


class Killed(BaseException):
    pass


def test_dpo_resumed_after_a_kill_ends_with_the_same_weights(tmp_path):
    pairs, whole, resumed = some_pairs(10), tiny(), tiny()
    expected = run(whole, pairs, tmp_path / "whole", epochs=3, resumable=True)

    def kill(done, total, loss):
        if done == 5:
            raise Killed

    with pytest.raises(Killed):
        run(tiny(), pairs, tmp_path / "out", epochs=3, resumable=True, on_step=kill)
    got = run(resumed, pairs, tmp_path / "out", epochs=3, resumable=True)
    assert got.curves == expected.curves and got.cost.tokens_trained == expected.cost.tokens_trained
    for a, b in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)


def test_preference_learning_that_diverges_stops_at_its_first_step(tmp_path):
    model, pairs = tiny(), some_pairs(4)
    pairs[1] = pairs[1]._replace(chosen_logps=[float("nan")] * len(pairs[1].chosen_logps))
    with pytest.raises(DivergenceError, match="step 1 of 3: loss nan"):
        run(model, pairs, tmp_path, epochs=3)


def test_dpo_without_pairs_changes_no_weight(tmp_path):
    model = tiny()
    curves, cost = run(model, [], tmp_path)
    assert (curves.last(), cost.tokens_trained) == ({}, 0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), tiny().parameters(), strict=True))
