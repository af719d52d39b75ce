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
    models, panels = inputs.by_iteration("model"), inputs.by_iteration("dev")
    if not models:
        raise StoreError("06_evaluate reads a model, or model1, dev1, …; it was opened with none of them")
    rates = {i: stages.read_record(panels[i]).metrics.get("eval/win_rate") for i in models}
    # A panel on which nothing could be judged has no rate, and is no reason to choose its model.
    return models[max(models, key=lambda i: -1.0 if (rate := rates[i]) is None else rate)]
