"""Select the model of the best iteration on the dev panel (EEF §4.1: "we select the best model from all iterations")."""

from __future__ import annotations

from pathlib import Path

from eefcore.errors import StoreError
from eefcore.storage import stages
from eefcore.storage.stage_inputs import StageInputs


def best_on_dev(inputs: StageInputs[Path]) -> Path:
    """Return the folder of the model to evaluate: the only one, or the one that won most on the dev panel.

    Of equals the earliest is taken. The test panel is never looked at.

    Args:
        inputs: `model`, or `model1`, `dev1`, `model2`, `dev2`, …

    Raises:
        StoreError: there is no model among the inputs.
    """
    if "model" in inputs:
        return inputs["model"]
    models = inputs.by_iteration("model")
    if not models:
        raise StoreError("06_evaluate reads a model, or model1, dev1, …; it was opened with none of them")
    return models[best_iteration(inputs)]


def best_iteration(inputs: StageInputs[Path]) -> int:
    """Return the number of the iteration whose model won most on the dev panel, of equals the earliest."""
    panels = inputs.by_iteration("dev")
    rates = {
        i: stages.read_record(panels[i]).metrics.get("eval/win_rate") for i in inputs.by_iteration("model")
    }
    # A panel on which nothing could be judged has no rate, and is no reason to choose its model.
    return max(rates, key=lambda i: -1.0 if (rate := rates[i]) is None else rate)
