"""The template of an environment of your own passes the contract tests, and runs all stages from a params file alone."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from helpers.glossary import undocumented
from helpers.paths import ROOT, TESTS
from helpers.workspaces import write_params
from template_env import House, Houses, Task

from eefcore import envs
from eefcore.envs import PanelSizes
from eefcore.errors import ParamsError
from eefcore.experts import collect, registry
from eefcore.protocols import Benchmark
from eefcore.reports.report import benchmark_facts
from eefcore.runs import runner
from eefcore.runs.planning import plan_run
from eefcore.storage import stages
from eefcore.testing import BenchmarkContract, EnvironmentContract
from eefcore.types import History

ROOMS = {
    "kitchen": ("lamp", "rope"),
    "cellar": ("spoon", "map"),
    "attic": ("coin", "key"),
    "garden": ("brush", "candle"),
}
COIN = Task("coin", ROOMS)


class TestHouse(EnvironmentContract):
    task, script = COIN.id, ("go cellar", "take coin", "go hall", "go attic", "take key")

    def make(self) -> House:
        return House({COIN.id: COIN})


class TestHouses(BenchmarkContract):
    def load(self) -> Benchmark:
        return Houses(PanelSizes(6, 3, 4), seed=0)


@pytest.fixture(scope="module")
def houses() -> Benchmark:
    return envs.load("template_env:load", sizes="40/10/20", seed=1)


def test_a_params_file_names_it(houses):
    assert [len(houses.tasks(split)) for split in ("train", "dev", "test")] == [40, 10, 20]
    assert houses.card.name == "house"
    assert houses.card != envs.load("template_env:load", sizes="40/10/20", seed=2).card


def test_its_experts_are_found_by_its_card(houses):
    tried = collect.demonstrations(houses, ["strong", "perfect"], "train", seed=0)
    wins = Counter(t.source for t in tried if t.win)
    assert wins["perfect"] == 40 > wins["strong"] > 10
    assert all(bool(t.marks) == (not t.win) for t in tried)
    rows = collect.expert_table(tried, houses.skills)
    assert [row["expert"] for row in rows] == ["strong", "perfect"] and rows[1]["Corrected used"] == 0
    with pytest.raises(
        ParamsError, match="no expert 'mighty' for house; choose one of strong, weak, perfect"
    ):
        collect.demonstrations(houses, ["mighty"], "train", seed=0)


def test_its_skills_are_counted_as_it_defines_them():
    history = History(COIN.id, "Fetch the coin.")
    env = House({COIN.id: COIN})
    env.reset(COIN.id)
    for action in ("go cellar", "take coin", "look", "go hall", "go hall"):
        history = history.then(action, env.step(action).observation)
    skills = Houses(PanelSizes(1, 1, 1), 0).skills
    assert {name: [*skill(history)] for name, skill in skills.items()} == {"Return": [3, 4], "Corrected": [3]}


def test_a_report_tells_what_its_scripts_measure(houses):
    world = benchmark_facts(houses)
    assert [m.name for m in world.measures] == ["rooms", "steps"]
    rooms, steps = ([m.value(t) for t in world.solutions] for m in world.measures)
    assert set(rooms) == {1, 2, 3, 4} and steps == [2 * n for n in rooms]
    assert set(world.kinds.values()) == {"any"}


def test_without_scripts_a_report_leaves_out_what_they_would_tell(houses, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    world = benchmark_facts(houses)
    assert set(world.skills) == {"Return", "Corrected"} and not (world.solutions or world.measures)
    with pytest.raises(ParamsError, match="no scripted expert for house; give 02_expert a `file`"):
        collect.demonstrations(houses, ["strong"], "train", seed=0)


def test_a_base_needs_scripted_skills(houses):
    with pytest.raises(ParamsError, match="nobody scripted base skills for house"):
        registry.base_skill_examples(houses, houses.tasks("train"), n=3, seed=0)


def test_the_package_keeps_the_names_of_its_own():
    with pytest.raises(
        ParamsError, match=r"webshop has its scripted experts in .*webshop\.experts:EXPERTS; give the card"
    ):
        registry.register_experts(
            "webshop", registry.ScriptedExperts(("strong",), lambda benchmark, strength, *, seed: None)
        )


PARAMS = """
run: house
shared: {benchmark: "template_env:load", sizes: 40/10/20, expert: strong+weak}
stages:
  train: {epochs: 4}
  explore: {slots: 32, max_new_tokens: 16}
  evaluate: {slots: 32, max_new_tokens: 16}
methods:
  SFT POS: {iterations: 1}
  EEF: {iterations: 2, explore: {M: 2}}
"""


@pytest.mark.notebook
@pytest.mark.xdist_group("notebooks")
def test_sft_and_eef_run_by_params_alone(tmp_path, monkeypatch):
    """The tiny base has never been in a house; it reads any text, and learns what is trained."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(TESTS), str(ROOT))))
    nodes = plan_run(write_params(tmp_path, PARAMS, "house"))
    runner.run(nodes, resume="", jobs=1)
    records = {n.label: stages.read_record(n.folder) for n in nodes}
    keys = {key for r in records.values() for key in r.metrics}
    assert {key for key in keys if key.startswith("nav/")} == {
        f"nav/{skill}_{what}" for skill in ("return", "corrected") for what in ("success", "attempt")
    }
    assert undocumented(key for key in keys if not key.startswith("nav/")) == set()
    assert {r.card.name for r in records.values() if r.card} == {"house"}
    panels = [n for n in nodes if n.label.startswith("evaluate.test")]
    assert len(panels) == 2
    report = (tmp_path / "results" / "house" / "report.html").read_text(encoding="utf-8")
    assert "Return" in report and "Corrected" in report
    assert not [word for word in ("WebShop", "Buy Now", "Next &gt;", "product") if word in report]
