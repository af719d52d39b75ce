"""Rows that share beginnings are read as a tree, exactly as they are read one by one."""

import numpy as np
import pytest
import torch
from helpers.definitions import sequence_logp
from helpers.sft_runs import some_rows, tiny
from helpers.shared_rows import SHAPES, shaped, tries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from eefcore.errors import PolicyError
from eefcore.training import prefix_trees
from eefcore.training.batches import pack, pad
from eefcore.training.logprobs import can_pack, trained_logps
from eefcore.training.models import add_adapter
from eefcore.training.prefix_trees import PrefixTree, count_unique, lay_out, sees, tree_attention
from eefcore.training.rows import IGNORE, Row

sequences = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=8), min_size=1, max_size=8)


# The layout ---------------------------------------------------------------------------------------------


def test_rows_are_laid_out_depth_first_as_in_the_docstring():
    a, b, c, d, e, f, g = range(1, 8)
    tree = lay_out([[a, b, c, d], [a, b, c, e, f], [a, b, g]])
    assert tree.tokens.tolist() == [a, b, c, d, e, f, g]
    assert tree.positions.tolist() == [0, 1, 2, 3, 3, 4, 2]
    assert tree.ends.tolist() == [7, 7, 6, 4, 6, 6, 7]
    assert [path.tolist() for path in tree.paths] == [[0, 1, 2, 3], [0, 1, 2, 4, 5], [0, 1, 6]]


@given(sequences)
@settings(max_examples=50, deadline=None)
def test_each_beginning_stands_once_and_each_token_sees_its_own_row(rows):
    tree = lay_out(rows)
    beginnings = {tuple(row[: l + 1]) for row in rows for l in range(len(row))}
    assert len(tree.tokens) == len(tree.ends) == count_unique(rows) == len(beginnings)
    for row, path in zip(rows, tree.paths, strict=True):
        assert tree.tokens[path].tolist() == row and tree.positions[path].tolist() == list(range(len(row)))
        for l, place in enumerate(path):
            seen = np.flatnonzero(sees(place, np.arange(len(tree.tokens)), tree.ends))
            assert seen.tolist() == path[: l + 1].tolist()


# The blocks ---------------------------------------------------------------------------------------------


def attended(tree, query, key, value):
    """Return what each token reads by the definition: a softmax over all tokens, with those that it does not see left out."""
    places = np.arange(len(tree.tokens))
    seen = torch.from_numpy(sees(places[:, None], places, tree.ends))
    scores = (query.double() @ key.double().mT).masked_fill(~seen, -torch.inf)
    return (scores.softmax(-1) @ value.double()).transpose(1, 2).float()


@pytest.mark.parametrize("call", [1, 30, 4096])
@given(rows=tries(), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_of_any_size_attend_as_one_mask_would(rows, seed, call):
    """A cheap call makes a block of each branch, a dear one a block of the whole tree."""
    tree = lay_out([row.tokens for row in rows])
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (torch.randn(1, 2, len(tree.tokens), 4, generator=generator) for _ in range(3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_trees, "_CALL", call)
        got = PrefixTree(tree).attend(query, key, value, 1.0)
    torch.testing.assert_close(got, attended(tree, query, key, value), rtol=1e-4, atol=1e-5)


def test_a_long_branch_gets_a_call_of_its_own_and_short_siblings_share_one():
    apart = PrefixTree(lay_out([[1] * 300, [2] * 300]))
    assert [(b.tokens, b.hidden) for b in apart._blocks] == [(300, None), (300, None)]
    together = PrefixTree(lay_out([[*range(1, 300), i] for i in range(400, 420)]))
    assert len(together._blocks) <= 2
    assert sum(b.tokens for b in together._blocks) == 319


# The model ----------------------------------------------------------------------------------------------


def by_definition(model, rows):
    """Return log π of the trained tokens, row by row, and the gradient of their weighted sum."""
    model.zero_grad()
    logps = [sequence_logp(model(torch.tensor([r.tokens])).logits, torch.tensor([r.labels]))[0] for r in rows]
    sum((i + 1) * logp for i, logp in enumerate(logps)).backward()
    return torch.stack(logps).detach(), gradients(model)


def in_a_tree(model, rows):
    model.zero_grad()
    batch = pack(rows)
    with tree_attention(model):
        logps = trained_logps(model, batch, head=model.get_output_embeddings(), bf16=False).split(
            batch.counts
        )
        logps = torch.stack([row.sum() for row in logps])
        (logps * torch.arange(1, len(rows) + 1)).sum().backward()
    return logps.detach(), gradients(model)


def gradients(model):
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_equal(got, expected):
    torch.testing.assert_close(got[0], expected[0], rtol=1e-5, atol=1e-5)
    assert got[1].keys() == expected[1].keys() != set()
    largest = max(g.abs().max() for g in expected[1].values())
    for name, gradient in expected[1].items():
        assert (got[1][name] - gradient).abs().max() <= 1e-5 * largest, name


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@given(rows=tries())
@settings(max_examples=3, deadline=None)
def test_likelihoods_and_gradients_are_those_of_the_rows_alone(shape, recompute, rows):
    model = shaped(shape)
    expected = by_definition(model, rows)
    if recompute:
        model.train().gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if "adapter" in shape:
            model.enable_input_require_grads()
    assert_equal(in_a_tree(model, rows), expected)


MUTANTS = {
    "siblings see each other": lambda token, other, ends: other <= token,
    "a branch is cut from what it continues": lambda token, other, ends: (other <= token) & (token < ends[other]) & (token - other < 5),
    "a token does not see itself": lambda token, other, ends: ((other < token) | (token == 0)) & (token < ends[other]),
    "a branch ends a token late": lambda token, other, ends: (other <= token) & (token <= ends[other]),
    "a token sees the next": lambda token, other, ends: (other <= token + 1) & (token < ends[other]),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_mask_is_noticed(mutant, monkeypatch):
    beginning = list(range(1, 9))
    rows = [Row(beginning + end, [IGNORE] * 8 + end) for end in ([9, 10, 11], [12, 13, 14], [9, 15, 16])]
    model = shaped("llama")
    expected = by_definition(model, rows)
    assert_equal(in_a_tree(model, rows), expected)
    monkeypatch.setattr(prefix_trees, "sees", MUTANTS[mutant])
    with pytest.raises(AssertionError):
        assert_equal(in_a_tree(model, rows), expected)


def test_wrong_positions_are_noticed(monkeypatch):
    rows = [Row([1, 2, 3, 4, 5], [IGNORE] * 3 + [4, 5]), Row([1, 2, 6, 7, 8], [IGNORE] * 3 + [7, 8])]
    model = shaped("llama")
    expected = by_definition(model, rows)

    def wrong(sequences):
        tree = lay_out(sequences)
        return tree._replace(positions=np.arange(len(tree.tokens)))

    monkeypatch.setattr("eefcore.training.batches.lay_out", wrong)
    with pytest.raises(AssertionError):
        assert_equal(in_a_tree(model, rows), expected)


def test_a_shared_token_is_scored_once_and_counts_for_each_row():
    row = Row([1, 2, 3, 4], [IGNORE, 2, 3, 4])
    batch = pack([row, row, Row([1, 2, 5], [IGNORE, IGNORE, 5])])
    assert batch.counts == [3, 3, 1]
    assert batch.predictors.tolist() == [0, 1, 2, 1] and batch.targets.tolist() == [2, 3, 4, 5]
    assert batch.scored.tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert batch.input_ids.tolist() == [[1, 2, 3]]


def test_padded_rows_are_scored_where_packed_ones_are():
    rows = some_rows(9)
    batch, model = pad(rows), tiny()
    assert batch.input_ids.shape == (9, max(len(r.tokens) for r in rows) - 1)
    logps = trained_logps(model, batch, head=model.get_output_embeddings(), bf16=False).split(batch.counts)
    torch.testing.assert_close(torch.stack([l.sum() for l in logps]), in_a_tree(model, rows)[0])


# Which models can ---------------------------------------------------------------------------------------


def windowed(window):
    sizes = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    config = MistralConfig(**sizes, num_attention_heads=2, num_key_value_heads=1, sliding_window=window)
    return MistralForCausalLM(config)


def test_models_that_read_more_than_what_a_row_continues_are_padded():
    assert can_pack(tiny(), 10_000) and can_pack(shaped("llama with an adapter"), 10_000)
    assert can_pack(windowed(None), 5000) and can_pack(windowed(300), 300)
    assert not can_pack(windowed(300), 301)
    assert not can_pack(add_adapter(tiny(), r=2, alpha=4, dropout=0.1, seed=0), 50)
    assert not can_pack(GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2)), 50)


def test_a_model_that_ignores_the_tree_is_padded(monkeypatch):
    model = tiny()
    attend = prefix_trees.PrefixTree.attend
    monkeypatch.setattr(
        prefix_trees.PrefixTree, "attend", lambda self, q, k, v, s: attend(self, q, k, v.roll(1, 2), s)
    )
    assert not can_pack(model, 50)


def test_a_model_is_left_as_it_was():
    model = tiny().train()
    before = model.config._attn_implementation
    assert can_pack(model, 50) and model.training and model.config._attn_implementation == before
    with pytest.raises(PolicyError), tree_attention(model):
        raise PolicyError
    assert model.config._attn_implementation == before
