"""Whatever is wrong with a stage notebook's file, planning ends in a plan or in one clear error that names a file."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from helpers.damage import damaged

from eefcore.errors import ParamsError
from eefcore.runs.planning import plan_run
from eefcore.runs.runner import imports
from eefcore.tracking.identity import _Sources


@pytest.mark.parametrize("n", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_a_damaged_notebook_is_planned_or_refused(n, demo, monkeypatch):
    monkeypatch.setattr(_Sources, "save", lambda self: None)
    rng, ends = random.Random(n), Counter()
    files = sorted((demo.parents[1] / "notebooks").glob("*.ipynb"))
    for _ in range(n):
        file = rng.choice(files)
        whole = file.read_bytes()
        file.write_bytes(damaged(whole, rng))
        try:
            imports(plan_run(demo))
            ends["plan"] += 1
        except ParamsError as error:
            assert len(str(error)) < 3000 and (
                "notebooks" in str(error) or "demo.yaml" in str(error) or file.name in str(error)
            )
            ends["refused"] += 1
        except BaseException:
            print(file.name, file.read_bytes()[:2000])
            raise
        finally:
            file.write_bytes(whole)
    print(dict(ends))
    assert ends["refused"] and plan_run(demo)
