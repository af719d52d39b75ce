"""Save the log-likelihoods of a fixed text beside a model, and check that an engine that serves it computes the same.

An engine may answer with the weights of another model without an error: an adapter under a name that it has cached, a
base without its adapter, a folder that was written again. Such answers read well, and differ by less than the engine's own
rounding from what a slightly trained model says; the fixed text tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from peft import PeftModel

from eefcore.errors import PolicyError
from eefcore.training.logprobs import measure_drift, token_logps
from eefcore.training.model_files import read_note
from eefcore.training.rows import Row

CANARY = "canary.json"
TEXT = "Find me a soft blue towel for the bathroom, machine washable, and price lower than 40.00 dollars."

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1, "float16": 0.02}
"""The largest mean of |Δ log π| that rounding in a dtype explains; measured between vLLM and transformers."""


class Canary(msgspec.Struct, frozen=True):
    """A text as token ids, and log π of each token after the first as the saved model gives it.

    Attributes:
        base_logps: what its base gives without the adapter; None of a model that has none.
        dtype: of the weights that were saved.
    """

    tokens: list[int]
    logps: list[float]
    base_logps: list[float] | None
    dtype: str


def write_canary(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the log-likelihoods that `model` gives the fixed text into `folder`, where the model was saved."""
    tokens = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    base_logps = None
    if isinstance(model, PeftModel):
        with model.disable_adapter():
            base_logps = _log_likelihoods(model, tokens)
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    canary = Canary(tokens, _log_likelihoods(model, tokens), base_logps, dtype)
    (folder / CANARY).write_bytes(msgspec.json.encode(canary))


def read_canary(folder: Path) -> Canary | None:
    """Return the canary of the model saved in `folder`; None of a model from elsewhere.

    Raises:
        PolicyError: the file can't be read.
    """
    return read_note(folder / CANARY, Canary, "the log-likelihoods of a text")


def check_canary(canary: Canary, logps: Sequence[float], *, dtype: str, model: str) -> float:
    """Return the mean of |Δ log π| between the model that was saved and an engine, which gave `canary.tokens` `logps`.

    `dtype` is the engine's, `model` a name for the message.

    Raises:
        PolicyError: the engine computes with other weights.
    """
    distance = measure_drift([logps], [canary.logps]).mean
    allowed = max(TOLERANCE[dtype], TOLERANCE[canary.dtype])
    from_base = apart = float("inf")
    if canary.base_logps:
        from_base, apart = (measure_drift([canary.base_logps], [x]).mean for x in (logps, canary.logps))
    # an adapter that was hardly trained lies within rounding of its base: then nearer must do
    if distance > allowed or (from_base < distance and apart > TOLERANCE["float32"]):
        raise PolicyError(
            f"{model}: the engine answers with other weights: expected log-likelihoods within {allowed} of those saved in "
            f"{CANARY} (mean of |Δ|, {dtype}), got {distance:.4f}"
            + (f", and {from_base:.4f} from the base without its adapter" if canary.base_logps else "")
            + "; start the engine anew, or use engine hf"
        )
    return distance


def _log_likelihoods(model: Any, tokens: list[int]) -> list[float]:
    training = model.training
    (logps,) = token_logps(model, [Row(tokens, tokens)], batch_tokens=len(tokens))
    model.train(training)
    return list(logps)
