"""SFT minimises the paper's loss for any micro-batch size, and resumes after a kill."""

import copy
import json
import os
import subprocess
import sys

import pytest
import torch
from helpers.byte_tokenizer import byte_tokenizer
from helpers.definitions import sft_loss
from helpers.paths import TESTS
from helpers.sft_runs import VOCABULARY, run, some_rows, tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from eefcore.errors import DivergenceError, MaskError, ParamsError, PolicyError
from eefcore.training import batches, loop
from eefcore.training.batches import BatchSampler
from eefcore.training.loop import TrainSettings, last_checkpoint
from eefcore.training.models import add_adapter, load_model, save_model
from eefcore.training.rows import IGNORE, Row
from eefcore.training.sft import train_to_read_and_act


def gradients(model, rows, out, **changes) -> dict[str, torch.Tensor]:
    """Return the accumulated gradient of the one step."""
    seen: dict[str, torch.Tensor] = {}
    for name, p in model.named_parameters():
        p.register_post_accumulate_grad_hook(lambda p, name=name: seen.update({name: p.grad.clone()}))
    run(model, rows, out, batch_size=len(rows), **changes)
    return seen


def gradients_by_definition(model, rows) -> dict[str, torch.Tensor]:
    """Row by row, unpadded, with every logit computed: −Σ log π / (trained tokens of all rows)."""
    n = sum(label != IGNORE for row in rows for label in row.labels)
    for row in rows:
        tokens, labels = torch.tensor([row.tokens]), torch.tensor([row.labels])
        sft_loss(model(tokens).logits, labels, n).backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize(
    "cut",
    [
        {"batch_tokens": 10_000},
        {"batch_tokens": 60},
        {"batch_tokens": 1},
        {"batch_tokens": 100, "gradient_checkpointing": True},
    ],
)
def test_the_gradient_is_that_of_the_global_batch(tmp_path, cut):
    """Accumulated over micro-batches with different numbers of trained tokens, it is still exact."""
    rows = some_rows(8)
    assert len({sum(label != IGNORE for label in row.labels) for row in rows}) > 3
    expected = gradients_by_definition(tiny(), rows)
    got = gradients(tiny(), rows, tmp_path, **cut)
    assert got.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("batch_tokens", [10_000, 40])
def test_rows_that_a_model_cant_read_as_a_tree_are_padded(tmp_path, monkeypatch, batch_tokens):
    rows, expected = some_rows(8), gradients_by_definition(tiny(), some_rows(8))
    monkeypatch.setattr(loop, "can_pack", lambda *_: False)
    monkeypatch.setattr(batches, "pack", None)
    got = gradients(tiny(), rows, tmp_path, batch_tokens=batch_tokens)
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("batch_tokens", [10_000, 40, 1])
def test_rows_that_begin_alike_weigh_what_they_weigh_alone(tmp_path, batch_tokens):
    """One row twice, one that begins another, trained tokens that two rows share."""
    (row, other), end = some_rows(2), [5, 6, 7]
    longer = Row(row.tokens + end, row.labels + end)
    rows = [row, row, longer, Row(row.tokens[:-2] + end, row.labels[:-2] + end), other]
    expected = gradients_by_definition(tiny(), rows)
    got = gradients(tiny(), rows, tmp_path, batch_tokens=batch_tokens)
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-4, atol=1e-7)


def test_a_last_batch_that_is_smaller_is_normalised_by_its_own_tokens(tmp_path):
    """Five rows in batches of four: the loss of the second step is that of the fifth row."""
    model, rows, start = tiny(), some_rows(5), copy.deepcopy(tiny())
    losses = run(model, rows, tmp_path, batch_size=4, batch_tokens=1, learning_rate=0.0).losses
    each = [
        sft_loss(start(torch.tensor([r.tokens])).logits, torch.tensor([r.labels]), 1).item() for r in rows
    ]
    n = [sum(label != IGNORE for label in r.labels) for r in rows]
    order = list(BatchSampler([len(r.tokens) for r in rows], 4, seed=0))
    first = sum(each[i] for i in order[:4]) / sum(n[i] for i in order[:4])
    assert losses == pytest.approx([first, each[order[4]] / n[order[4]]], rel=1e-5)


def test_sft_lowers_the_loss(tmp_path):
    trained = run(tiny(), some_rows(8), tmp_path, epochs=60, learning_rate=2e-2)
    assert len(trained.losses) == 60
    assert trained.losses[-1] < 0.5 * trained.losses[0]


def test_equal_seeds_give_equal_results(tmp_path):
    def weights(seed):
        model = tiny()
        run(model, some_rows(20), tmp_path, epochs=2, seed=seed)
        return torch.cat([p.flatten() for p in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_sft_reports_each_step_its_losses_and_its_cost(tmp_path):
    heard = []
    rows = some_rows(20)
    trained = run(tiny(), rows, tmp_path, epochs=3, on_step=lambda *step: heard.append(step))
    n = sum(label != IGNORE for row in rows for label in row.labels)
    assert trained.cost.tokens_trained == 3 * n
    assert trained.cost.seconds > 0
    assert [(done, total) for done, total, _ in heard] == [(i + 1, 9) for i in range(9)]
    assert [loss for *_, loss in heard] == trained.losses


def test_sft_writes_no_file_and_changes_only_the_weights(tmp_path, monkeypatch, capsys):
    """No folder, no print, and a model that is as it was but for its weights."""
    monkeypatch.chdir(tmp_path)
    model = tiny()
    before = model.config.to_dict()
    run(model, some_rows(8), tmp_path / "out", bf16=True, gradient_checkpointing=True)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    assert capsys.readouterr().out == ""
    assert not model.training and not model.is_gradient_checkpointing
    assert "forward" not in vars(model) and model.config.to_dict() == before
    tokens = torch.tensor([some_rows(1)[0].tokens])
    logits = model(tokens).logits
    assert logits.shape == (1, tokens.shape[1], VOCABULARY)
    assert logits.dtype == torch.float32


def test_bfloat16_changes_little_and_the_weights_stay_float32(tmp_path):
    exact, rounded = tiny(), tiny()
    losses = run(exact, some_rows(16), tmp_path, epochs=2).losses
    rough = run(rounded, some_rows(16), tmp_path, epochs=2, bf16=True).losses
    assert rough == pytest.approx(losses, rel=0.01)
    assert rough != losses
    again = tiny()
    assert run(again, some_rows(16), tmp_path, epochs=2).losses == losses
    assert all(p.dtype == torch.float32 for p in rounded.parameters())


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("at", "every"),
    [
        (4, 500),
        (6, 2),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((1, 500), (6, 500), (9, 2))),
    ],
)
def test_sft_resumed_after_a_kill_ends_with_the_same_weights(tmp_path, monkeypatch, at, every):
    """Nine steps of three an epoch; killed in an epoch and as one ends, with checkpoints between and inside of them."""
    monkeypatch.setattr(loop, "SAVE_STEPS", every)
    rows, whole, resumed = some_rows(20), tiny(), tiny()
    expected = run(whole, rows, tmp_path / "whole", epochs=3, resumable=True)

    def kill(done, total, loss):
        if done == at:
            raise Killed

    with pytest.raises(Killed):
        run(tiny(), rows, tmp_path / "out", epochs=3, resumable=True, on_step=kill)
    (tmp_path / "out" / "checkpoint-99").mkdir(parents=True)  # torn while it was written
    heard = []
    got = run(
        resumed, rows, tmp_path / "out", epochs=3, resumable=True, on_step=lambda done, *_: heard.append(done)
    )
    assert heard[0] == (at - 1) // min(3, every) * min(3, every) + 1
    assert got.losses == expected.losses
    assert got.cost.tokens_trained == expected.cost.tokens_trained
    for a, b in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_finished_run_is_not_trained_again(tmp_path):
    rows, first, again = some_rows(8), tiny(), tiny()
    expected = run(first, rows, tmp_path, epochs=2, resumable=True)
    heard = []
    got = run(again, rows, tmp_path, epochs=2, resumable=True, on_step=lambda *step: heard.append(step))
    assert heard == [] and got.losses == expected.losses
    assert got.cost.seconds > 0
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("what", ["the weights", "the gradient"])
def test_training_that_diverges_stops_at_that_step_and_saves_nothing_of_it(tmp_path, what):
    model, done = tiny(), []
    weight = model.model.embed_tokens.weight

    def spoil(step: int, total: int, loss: float) -> None:
        done.append(step)
        if step == 2 and what == "the weights":
            weight.data[5] = torch.nan
        elif step == 2:
            weight.register_hook(lambda gradient: gradient * torch.inf)

    says = r"diverged at step 3 of 6: loss .*, norm of the gradient (nan|inf), learning rate 0\.00\d+.* smaller learning"
    with pytest.raises(DivergenceError, match=says):
        run(model, some_rows(8), tmp_path, epochs=6, on_step=spoil, resumable=True)
    assert done == [1, 2]
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-2"


def test_a_torn_checkpoint_is_skipped(tmp_path):
    assert last_checkpoint(tmp_path / "none") is None
    whole = '{"seconds": 1.5}'
    for n, content in {
        9: whole,
        10: whole,
        11: None,
        12: "{}",
        13: whole[:5],
        14: '{"seconds": "x"}',
    }.items():
        (tmp_path / f"checkpoint-{n}").mkdir()
        if content is not None:
            (tmp_path / f"checkpoint-{n}" / "whole.json").write_text(content)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


@pytest.mark.parametrize(
    ("rows", "changes", "error", "message"),
    [
        ([], {}, MaskError, "expected rows to train on, got none"),
        ([*some_rows(2), Row([1, 2], [IGNORE, IGNORE])], {}, MaskError, "row 2 of 3 has no trained token"),
        ([Row([1, 2], [1, IGNORE])], {}, MaskError, "row 0 of 1 has no trained token"),
        (some_rows(8), {"warmup": 5}, ParamsError, r"share of the steps in \[0, 1\), got 5"),
    ],
)
def test_impossible_training_input_is_refused(tmp_path, rows, changes, error, message):
    with pytest.raises(error, match=message):
        run(tiny(), rows, tmp_path, **changes)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 16), st.integers(0, 99))
@settings(max_examples=50)
def test_an_epoch_visits_every_row_once_and_batches_are_sorted(lengths, batch_size, seed):
    sampler = BatchSampler(lengths, batch_size, seed)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert sorted(orders[-1]) == list(range(len(lengths)))
        for start in range(0, len(lengths), batch_size):
            here = [lengths[i] for i in orders[-1][start : start + batch_size]]
            assert here == sorted(here, reverse=True)
    sampler.set_epoch(1)
    assert list(sampler) == orders[1]


def test_epochs_differ_in_their_batches():
    sampler = BatchSampler([1] * 64, 8, seed=0)
    first = [set(list(sampler)[i : i + 8]) for i in range(0, 64, 8)]
    sampler.set_epoch(1)
    assert first != [set(list(sampler)[i : i + 8]) for i in range(0, 64, 8)]


def test_an_adapter_alone_is_trained_saved_and_moved_with_its_base(tmp_path):
    tokenizer, base = byte_tokenizer(), tiny()
    save_model(base, tokenizer, tmp_path / "a" / "base")
    model = add_adapter(load_model(tmp_path / "a" / "base").model, r=2, alpha=4, seed=0)
    run(model, some_rows(8), tmp_path / "out", epochs=3, learning_rate=1e-2)
    tokens = torch.tensor([some_rows(1)[0].tokens])
    logits = model(tokens).logits
    with model.disable_adapter():
        torch.testing.assert_close(model(tokens).logits, base(tokens).logits)
    save_model(model, tokenizer, tmp_path / "a" / "adapter")
    assert not list((tmp_path / "a" / "adapter").glob("model*.safetensors"))
    (tmp_path / "a").rename(tmp_path / "b")
    for file in (tmp_path / "b").rglob("*.json"):
        assert str(tmp_path) not in file.read_text()

    kept = load_model(tmp_path / "b" / "adapter").model
    melted = load_model(tmp_path / "b" / "adapter", merge=True).model
    assert type(melted) is LlamaForCausalLM
    torch.testing.assert_close(kept(tokens).logits, logits)
    torch.testing.assert_close(melted(tokens).logits, logits, rtol=1e-4, atol=1e-5)
    again = load_model(tmp_path / "b" / "adapter", trainable=True).model
    assert run(again, some_rows(8), tmp_path / "out").losses[0] < run(base, some_rows(8), tmp_path).losses[0]

    save_model(kept, tokenizer, tmp_path / "merged", merge=True)
    torch.testing.assert_close(
        load_model(tmp_path / "merged").model(tokens).logits, logits, rtol=1e-4, atol=1e-5
    )


def test_equal_seeds_draw_equal_adapters():
    def weights(seed):
        model = add_adapter(tiny(), r=2, alpha=4, seed=seed)
        return torch.cat([p.flatten() for n, p in model.named_parameters() if "lora_A" in n])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_a_saved_model_is_loaded_with_the_same_weights(tmp_path):
    model, tokenizer = tiny(), byte_tokenizer()
    save_model(model, tokenizer, tmp_path)
    loaded = load_model(tmp_path)
    assert not loaded.model.training
    assert loaded.tokenizer("Köln")["input_ids"] == tokenizer("Köln")["input_ids"]
    for a, b in zip(model.parameters(), loaded.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert load_model(tmp_path, dtype="bfloat16").model.dtype == torch.bfloat16


def test_a_tokenizer_that_does_not_fit_the_model_is_refused(tmp_path):
    larger = byte_tokenizer(special=("<|a|>", "<|b|>"))
    with pytest.raises(PolicyError, match="writes ids up to 258, the model knows 257"):
        save_model(tiny(), larger, tmp_path)
    save_model(tiny(), byte_tokenizer(), tmp_path)
    larger.save_pretrained(tmp_path)
    with pytest.raises(PolicyError, match="writes ids up to 258"):
        load_model(tmp_path)


def test_a_missing_model_folder_is_refused(tmp_path):
    with pytest.raises(PolicyError, match=r"nowhere: no model can be read there"):
        load_model(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(PolicyError, match="unknown architecture"):
        load_model(tmp_path)


TWO = """
import json, os, sys
from pathlib import Path
from helpers.sft_runs import run, some_rows, tiny
out = Path(sys.argv[1])
trained = run(tiny(), some_rows(20), out, epochs=2, batch_tokens=int(sys.argv[2]))
if os.environ.get("RANK", "0") == "0":
    (out / "losses.json").write_text(json.dumps(trained.losses))
"""


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    """The same call under torchrun: the same losses, up to an epoch's last batch, which is filled up."""
    script = tmp_path / "two.py"
    script.write_text(TWO)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}

    def losses(*launch, batch_tokens):
        command = [sys.executable, *launch, str(script), str(tmp_path), str(batch_tokens)]
        subprocess.run(command, env=env, capture_output=True, check=True, timeout=500)
        return json.loads((tmp_path / "losses.json").read_text())

    one = losses(batch_tokens=100)
    two = losses("-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", batch_tokens=50)
    assert len(one) == len(two) == 6
    assert two[:2] == pytest.approx(one[:2], rel=1e-5)


# A base that reads first -----------------------------------------------------------------------------


def trained(train):
    model = tiny()
    train(model)
    return model.state_dict()


def test_a_base_reads_the_first_rows_whole_and_then_acts(tmp_path):
    rows, settings = (
        some_rows(8),
        TrainSettings(epochs=1, batch_size=2, learning_rate=1e-2, seed=0, out=tmp_path / "a"),
    )
    losses = []

    def both(model):
        losses.extend(train_to_read_and_act(model, rows, settings, read=0.5).losses)

    def by_hand(model):
        run(
            model,
            [Row(row.tokens, row.tokens) for row in rows[:4]],
            tmp_path / "b",
            batch_size=2,
            learning_rate=1e-2,
        )
        run(model, rows[4:], tmp_path / "c", batch_size=2, learning_rate=1e-2)

    found, expected = trained(both), trained(by_hand)
    assert all(torch.equal(found[name], expected[name]) for name in expected) and len(losses) == 4


def test_a_base_that_reads_nothing_is_trained_as_it_was(tmp_path):
    rows, settings = (
        some_rows(4),
        TrainSettings(epochs=1, batch_size=2, learning_rate=1e-2, seed=0, out=tmp_path / "a"),
    )
    found = trained(lambda model: train_to_read_and_act(model, rows, settings, read=0.0))
    expected = trained(lambda model: run(model, rows, tmp_path / "b", batch_size=2, learning_rate=1e-2))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
