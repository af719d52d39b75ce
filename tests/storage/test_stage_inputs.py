"""The names of a stage's inputs: made, and read back."""

from hypothesis import given
from hypothesis import strategies as st

from eefcore.storage.stage_inputs import StageInputs

KINDS = st.sampled_from(["model", "dev", "simulations", "earlier"])
NAMES = st.text(alphabet="abcXYZ×6 .-", min_size=1, max_size=8)


@given(KINDS, st.lists(st.integers(0, 120), unique=True, max_size=8))
def test_inputs_of_a_kind_are_found_by_iteration(kind, numbers):
    made = StageInputs({StageInputs.of_iteration(kind, i): i for i in numbers} | {"experts": -1, "test": -2})
    assert list(made.by_iteration(kind).items()) == [(i, i) for i in sorted(numbers)]
    assert {StageInputs.kind(name) for name in made} == {"experts", "test", *([kind] if numbers else [])}


def test_a_kind_is_a_whole_word():
    made = StageInputs({"model1": 1, "dev1": 2, "model": 3, "EEF/model2": 4})
    assert made.by_iteration("model") == {1: 1}
    assert StageInputs.kind("model") == "model"


@given(st.lists(NAMES, unique=True, min_size=1, max_size=4), st.integers(0, 9))
def test_inputs_under_a_folder_are_found_by_that_folder(methods, seed):
    own = StageInputs({"experts": "e", "model1": "m"})
    folders = [(StageInputs.seed_folder(seed), "a_run", method) for method in methods]
    whole = StageInputs(item for folder in folders for item in own.under(*folder).items())
    assert whole.by_folder() == {"/".join(folder): own for folder in folders}
    assert {StageInputs.seed_of(folder.split("/")[0]) for folder in whole.by_folder()} == {seed}
