"""The simulation of the papers' suites on many GPUs: its schedule, and the page that holds its tables."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from types import ModuleType

import pytest
from helpers.paths import ROOT
from hypothesis import given
from hypothesis import strategies as st


def load() -> ModuleType:
    """The script, which is a file of the documentation and in no package."""
    spec = importlib.util.spec_from_file_location("docs_scale", ROOT / "docs" / "scale.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


scale = load()


@dataclass(eq=False)
class Stage:
    """A stage that reads others."""

    seconds: float
    inputs: dict[str, Stage] = field(default_factory=dict)


@st.composite
def plans(draw: st.DrawFn) -> list[Stage]:
    """Stages, each after those that it reads."""
    stages: list[Stage] = []
    for seconds in draw(st.lists(st.integers(0, 9), min_size=1, max_size=12)):
        reads = draw(st.sets(st.integers(0, len(stages) - 1), max_size=3)) if stages else set()
        stages.append(Stage(float(seconds), {str(i): stages[i] for i in sorted(reads)}))
    return stages


@given(plans(), st.integers(1, 5))
def test_a_schedule_is_never_shorter_than_its_chain_or_its_work_and_within_grahams_bound(plan, lanes):
    seconds = {stage: stage.seconds for stage in plan}
    work, chain = sum(seconds.values()), scale.makespan(plan, seconds, None)
    took = scale.makespan(plan, seconds, lanes)
    assert max(chain, work / lanes) <= took + 1e-9
    assert took <= work / lanes + chain * (1 - 1 / lanes) + 1e-9


@given(plans())
def test_one_lane_takes_the_sum_and_enough_lanes_take_the_longest_chain(plan):
    seconds = {stage: stage.seconds for stage in plan}
    assert scale.makespan(plan, seconds, 1) == sum(seconds.values())
    assert scale.makespan(plan, seconds, len(plan)) == scale.makespan(plan, seconds, None)


def test_the_longest_way_begins_first():
    """Two short stages before a long chain would leave a lane idle at the end."""
    first, second, head = Stage(2), Stage(2), Stage(1)
    plan = [first, second, head, Stage(3, {"x": head})]
    assert scale.makespan(plan, {s: s.seconds for s in plan}, 2) == 4


@pytest.mark.slow
def test_the_page_holds_the_tables_that_the_script_prints():
    text = scale.PAGE.read_text("utf-8")
    assert scale.page(text) == text, "run `python docs/scale.py --write`"
