"""Whatever a bad disk did to a model's folder, loading it ends in a PolicyError or in a model; never in a raw traceback.

In the folder of a stage, whose record holds hashes, it is the model that was trained or none.
"""

from __future__ import annotations

import random
import warnings
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from helpers.byte_tokenizer import byte_tokenizer
from helpers.damage import damaged
from helpers.sft_runs import tiny
from transformers.utils import logging

from eefcore.errors import PolicyError
from eefcore.storage import outputs, stages
from eefcore.storage.cost import Cost
from eefcore.storage.stages import StageRecord
from eefcore.training.models import add_adapter, load_model, save_model

TOKENS = torch.arange(10, 30)[None]


def answers(folder: Path) -> bytes:
    """What a loaded model says, and how its tokenizer reads."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        model, tokenizer = load_model(folder)
        ids = tokenizer("click[Buy Now] é\n")["input_ids"]
        return (
            model(TOKENS).logits.numpy().tobytes()
            + repr((ids, tokenizer.decode(ids), model.config.eos_token_id)).encode()
        )


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A base and an adapter on it, each in a folder of its own, and the same in a finished stage."""
    folder = tmp_path_factory.mktemp("models")
    save_model(tiny(0), byte_tokenizer(), folder / "base")
    model, tokenizer = load_model(folder / "base", trainable=True)
    save_model(add_adapter(model, r=2, alpha=4, seed=0), tokenizer, folder / "adapter")
    stage = folder / "train-abababab"
    save_model(tiny(0), byte_tokenizer(), stage / "model")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    record = StageRecord(
        label="train", notebook="04_train", params={}, inputs={}, identity="ab" * 32, card=None, cost=Cost(), metrics={},
        packages={}, seconds=1.0, attempts=1, started=now, finished=now, outputs=outputs.hash_outputs(stage),
    )  # fmt: skip
    stages.write_record(stage, record)
    return {"base": folder / "base", "adapter": folder / "adapter", "stage": stage / "model"}


@pytest.mark.parametrize("kind", ["base", "adapter", "stage"])
@pytest.mark.parametrize("n", [8, pytest.param(320, marks=pytest.mark.slow)])
def test_a_damaged_model_is_refused_or_loaded(n, kind, folders, monkeypatch):
    monkeypatch.setattr(logging, "_default_handler", None, raising=False)
    logging.set_verbosity_error()
    rng, folder = random.Random(f"{n} {kind}"), folders[kind]
    expected, ends = answers(folder), Counter()
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for i in range(n):
        file = files[i % len(files)]
        whole = file.read_bytes()
        file.write_bytes(damaged(whole, rng))
        try:
            got = answers(folder)
            ends["same" if got == expected else "other"] += 1
        except PolicyError as error:
            assert str(folder) in str(error) and len(str(error)) < 3000
            ends["refused"] += 1
        except BaseException:
            print(file.name, file.read_bytes()[:500])
            raise
        finally:
            file.write_bytes(whole)
    assert answers(folder) == expected
    print(kind, dict(ends))
    assert kind != "stage" or ends == {"refused": n}
