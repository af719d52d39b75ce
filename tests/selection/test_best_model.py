"""The model of the best iteration is chosen on the dev panel."""

import pytest
from helpers.stage_folders import Folders

from eefcore.errors import StoreError
from eefcore.selection.best_model import best_on_dev
from eefcore.storage.stage_inputs import StageInputs


@pytest.mark.parametrize(
    "rates, best",
    [
        ([0.5], 1),
        ([0.1, 0.3, 0.2], 2),
        ([0.3, 0.3, 0.1], 1),  # the earliest of equals
        ([0.1, 0.3, 0.3], 2),
        ([0.0, 0.0], 1),
        ([0.1] * 9 + [0.2, 0.15], 10),  # by number, not by name
        ([None, 0.0], 2),  # nothing was judged: no reason to choose it
        ([0.2, None], 1),
        ([None, None], 1),
    ],
)
def test_the_best_on_the_dev_panel(tmp_path, rates, best):
    made = Folders(tmp_path / "run")
    for i, rate in enumerate(rates, 1):
        made.stage(f"model{i}")
        made.stage(f"dev{i}", metrics={"eval/win_rate": rate})
    assert best_on_dev(StageInputs(made.stages)) == made.stages[f"model{best}"]


def test_the_only_model_needs_no_panel(tmp_path):
    made = Folders(tmp_path / "run")
    assert best_on_dev(StageInputs({"model": made.stage("model")})) == made.stages["model"]


def test_without_a_model_it_says_what_it_expects():
    with pytest.raises(StoreError, match="it was opened with none of them"):
        best_on_dev(StageInputs())
