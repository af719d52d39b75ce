"""L_DPO is TRL's on single-turn pairs: three steps make the same losses and implicit rewards, and move the same weights as far.

The numbers are in tests/golden/trl_dpo.json, which `pip install trl==1.16.0 && python tests/training/test_trl.py` writes; where
TRL is installed its DPOTrainer is asked again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from helpers.byte_tokenizer import byte_tokenizer
from helpers.definitions import sequence_logp
from helpers.paths import GOLDEN
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from eefcore.training.dpo import train_dpo
from eefcore.training.loop import TrainSettings
from eefcore.training.references import Pair
from eefcore.training.rows import IGNORE, Row

GOLDEN_FILE = GOLDEN / "trl_dpo.json"
PAIRS = (
    ("buy a red hat\n> ", "search[red hat]#", "click[Buy Now]#"),
    ("buy a blue sock, size 9\n> ", "search[blue sock]#", "think[a sock]#"),
    ("page 1\n> ", "click[Next]#", "click[B08737G8HG]#"),
    ("page 2\n> ", "click[Back]#", "click[Next]#"),
    ("red hat, one size\n> ", "click[Buy Now]#", "#"),
)
BETA, STEPS, RATE = 0.1, 3, 1e-3


class Logged(NamedTuple):
    """The metrics of each step: the loss is the mean over pairs, the rewards are β (log π/π_ref)."""

    loss: list[float]
    chosen: list[float]
    rejected: list[float]
    moved: list[float]  # of each parameter, how far it has come after the last step


def seeded_model(seed: int) -> LlamaForCausalLM:
    """A model whose weights follow from `seed` alone, however it is initialised; far enough from others to differ."""
    from helpers.sft_runs import tiny

    model, generator = tiny(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(1 + 0.1 * noise if name.endswith("norm.weight") else 0.3 * noise)
    return model


def tokenizer() -> PreTrainedTokenizerFast:
    out = byte_tokenizer()
    out.eos_token = "#"
    return out


def moved(model: LlamaForCausalLM) -> list[float]:
    start = dict(seeded_model(0).named_parameters())
    return [(weight - start[name]).norm().item() for name, weight in sorted(model.named_parameters())]


def ours(out: Path) -> Logged:
    encode, reference = tokenizer(), seeded_model(1)

    def side(prompt: str, completion: str) -> tuple[Row, float]:
        read, written = (list(encode(text)["input_ids"]) for text in (prompt, completion))
        row = Row(read + written, [IGNORE] * len(read) + written)
        with torch.no_grad():
            logits = reference(torch.tensor([row.tokens])).logits
        return row, sequence_logp(logits, torch.tensor([row.labels])).item()

    def pair(prompt: str, chosen: str, rejected: str) -> Pair:
        (one, logp), (other, other_logp) = side(prompt, chosen), side(prompt, rejected)
        return Pair((one,), (other,), (logp,), (other_logp,))

    model = seeded_model(0)
    settings = TrainSettings(
        epochs=STEPS,
        batch_size=len(PAIRS),
        learning_rate=RATE,
        seed=0,
        out=out,
        schedule="constant",
        warmup=0.0,
    )
    curves = train_dpo(model, [pair(*texts) for texts in PAIRS], settings, beta=BETA).curves
    return Logged(curves.loss, curves.chosen, curves.rejected, moved(model))


def theirs(out: Path) -> Logged:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    rows = [dict(zip(("prompt", "chosen", "rejected"), texts, strict=True)) for texts in PAIRS]
    asked = DPOConfig(
        output_dir=str(out), beta=BETA, loss_type=["sigmoid"], num_train_epochs=STEPS, learning_rate=RATE,
        lr_scheduler_type="constant", per_device_train_batch_size=len(PAIRS), max_length=None, logging_steps=1,
        use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = DPOTrainer(
        model=seeded_model(0),
        ref_model=seeded_model(1),
        args=asked,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer(),
    )
    trainer.train()
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    told = ([entry[key] for entry in log] for key in ("loss", "rewards/chosen", "rewards/rejected"))
    return Logged(*told, moved(trainer.model))


def assert_alike(told: Logged, known: Logged, *, rel: float) -> None:
    for name in Logged._fields:
        assert getattr(told, name) == pytest.approx(getattr(known, name), rel=rel, abs=1e-5), name


def test_three_dpo_steps_equal_the_recorded_steps_of_trl(tmp_path):
    known = Logged(**json.loads(GOLDEN_FILE.read_text())["told"])
    assert len(known.loss) == STEPS and known.loss[-1] < known.loss[0]
    assert_alike(ours(tmp_path), known, rel=1e-3)


@pytest.mark.filterwarnings("ignore")  # what TRL warns of is not ours to mend
def test_three_dpo_steps_equal_those_of_the_installed_trl(tmp_path):
    pytest.importorskip("trl", reason="pip install trl==1.16.0 to ask its DPOTrainer again")
    assert_alike(ours(tmp_path / "ours"), theirs(tmp_path / "theirs"), rel=1e-3)


if __name__ == "__main__":
    import tempfile

    import trl

    with tempfile.TemporaryDirectory() as folder:
        found = {"trl": trl.__version__, "torch": torch.__version__, "told": theirs(Path(folder))._asdict()}
    GOLDEN_FILE.write_text(json.dumps(found, indent=1) + "\n")
