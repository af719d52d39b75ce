"""Scripted experts beside the published figures: how they are compared, and that they agree within sampling error."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest
from helpers.episodes import SKILLS, by_next, naive
from helpers.prose import PUBLISHED as PUBLISHED_RESULTS

from eefcore import envs
from eefcore.errors import ParamsError
from eefcore.experts import calibration, published
from eefcore.experts.registry import experts_of_card
from eefcore.storage.journal import Journal
from eefcore.types import Card, Trajectory

WEBSHOP_OUTSIDE = {("strong", "length"), ("strong", "reward"), ("weak", "reward")}
"""What the generated shop's experts are not fitted to. An almost right product earns more there than among Amazon's."""


SHOP = SimpleNamespace(card=Card("webshop", {}), skills=SKILLS)
"""What a comparison reads of a benchmark."""


def play(worlds, names, folder, *, n=None, seed=0):
    """Play training tasks as the notebook does, with journals in `folder`."""
    counted = []
    played = calibration.play_training_tasks(
        worlds,
        names,
        n=n,
        seed=seed,
        journal=lambda name: Journal(folder / f"{name}.jsonl", Trajectory),
        progress=lambda total, what: lambda done: counted.append(done) or total,
    )
    assert sum(counted) == sum(map(len, played.values()))
    return played


def outside(benchmark, played):
    """The quantities that do not agree with the paper's, by expert."""
    found = calibration.calibrate(benchmark, played)
    assert len(found) == sum(len(calibration.published_figures(benchmark, name)) for name in played)
    return {(c.expert, c.figure.quantity.name) for c in found if not c.agrees}


# The comparison -----------------------------------------------------------------------------------------


def test_a_figure_is_set_beside_ours():
    played = [by_next(str(i), 1.0) for i in range(36)] + [naive(str(i + 36)) for i in range(64)]
    found = {
        (c.figure.quantity.name, c.figure.source): c for c in calibration.calibrate(SHOP, {"strong": played})
    }
    wins = found["win rate", "EEF Table 1"]
    assert wins.ours.value == 0.36 and wins.published.value == 4106 / 11338
    assert wins.gap.value == pytest.approx(0.36 - 4106 / 11338)
    assert wins.agrees and -1 < wins.relative_gap < 0
    nexts = found["Next used", "EEF Table 4"]
    assert not nexts.agrees and nexts.relative_gap > 1
    length = found["length", "EEF Table 1"]
    assert length.ours.value == pytest.approx(0.36 * 8 + 0.64 * 5)
    assert not length.agrees and length.relative_gap < -1


def test_a_published_mean_has_the_spread_of_ours():
    """36 lengths of 8 and 64 of 5 have the standard deviation 3 · √(0.36 · 0.64) = 1.44, and the paper 11,338 trajectories."""
    played = [by_next(str(i)) for i in range(36)] + [naive(str(i + 36)) for i in range(64)]
    (length,) = (
        c for c in calibration.calibrate(SHOP, {"strong": played}) if c.figure.quantity.name == "length"
    )
    assert length.published.high - 8.26 == pytest.approx(1.96 * 1.44 / 11338**0.5, rel=1e-6)


def test_a_figure_of_unknown_n_is_taken_as_exact():
    """So that nothing agrees because the paper does not say how many tasks it played: the sampling error is ours alone."""
    site = SimpleNamespace(card=Card("booking", {}), skills=SKILLS)
    (wins,) = calibration.calibrate(site, {"strong": [naive(str(i), float(i < 60)) for i in range(100)]})
    assert wins.figure.n is None and wins.published[:3] == (0.626, 0.626, 0.626)
    assert (wins.gap.low, wins.gap.high) == pytest.approx((wins.ours.low - 0.626, wins.ours.high - 0.626))


def test_an_expert_that_stands_for_nobody_is_refused(mini, tmp_path):
    with pytest.raises(
        ParamsError, match=r"expert 'naive' of webshop stands for no expert.*choose of strong, weak"
    ):
        play([mini], ["naive"], tmp_path)


def test_worlds_with_the_same_tasks_are_refused(mini, tmp_path):
    with pytest.raises(ParamsError, match="have the same tasks, which would count twice"):
        play([mini, mini], ["strong"], tmp_path)


def test_more_tasks_than_there_are_are_refused(mini, tmp_path):
    with pytest.raises(ParamsError, match=r"n 25 training tasks .* and there are 24"):
        play([mini], ["strong"], tmp_path, n=25)


def test_a_larger_n_adds_tasks(mini, tmp_path):
    played = [play([mini], ["strong"], tmp_path / str(n), n=n)["strong"] for n in (5, 10)]
    (few, more) = ([t.task_id for t in found] for found in played)
    assert more[:5] == few and len(set(more)) == 10 and set(more) <= set(mini.tasks("train"))


def test_a_killed_stage_goes_on(mini, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "CHUNK", 8)
    first = play([mini], ["strong", "weak"], tmp_path)
    monkeypatch.setattr(calibration, "_play", lambda *_: pytest.fail("a chunk is played again"))
    assert play([mini], ["strong", "weak"], tmp_path) == first


def test_an_expert_with_rates_of_its_own_is_compared_with_its_strength(mini, tmp_path):
    name = "strong?buy_anyway=0"
    assert play([mini], [name], tmp_path, n=4)[name][0].source == name
    assert calibration.published_figures(mini, name) == published.PUBLISHED["webshop", "strong"]


# The experts of the shop --------------------------------------------------------------------------------


def test_a_sample_of_the_shops_experts_agrees_with_the_paper(generated, tmp_path):
    world = generated("200/8/8", 0)
    assert outside(world, play([world], ["strong", "weak"], tmp_path)) <= WEBSHOP_OUTSIDE


@pytest.mark.parametrize(
    ("rate", "quantity"),
    [("buy_anyway=0.2", "win rate"), ("give_up=1", "Next used"), ("after_back=30", "Back won")],
)
def test_a_shop_expert_with_another_rate_does_not(rate, quantity, generated, tmp_path):
    """The check above can fail, at that number of tasks."""
    world, name = generated("200/8/8", 0), f"strong?{rate}"
    assert (name, quantity) in outside(world, play([world], [name], tmp_path))


@pytest.mark.slow
def test_the_shops_experts_agree_with_the_paper_on_two_thousand_tasks(generated, tmp_path):
    worlds = [generated("400/100/400", seed) for seed in range(5)]
    played = play(worlds, ["strong", "weak"], tmp_path)
    assert {len(trajectories) for trajectories in played.values()} == {2000}
    assert outside(worlds[0], played) <= WEBSHOP_OUTSIDE


# ScienceWorld's expert ----------------------------------------------------------------------------------


@pytest.mark.java
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.xdist_group("jvm")
def test_a_sample_of_scienceworlds_expert_agrees_with_the_paper(simulators, tmp_path, monkeypatch):
    """On training tasks of most kinds; their gold paths, a second each, are most of the work."""
    monkeypatch.setenv("EEF_CACHE", str(tmp_path / "golds"))
    world = envs.load("sciworld")
    played = play([world], ["strong"], tmp_path, n=100)
    assert outside(world, played) == set()
    assert len({world.goal(t.task_id).kind for t in played["strong"]}) > 11


# What is published of them ------------------------------------------------------------------------------


def rows(folder, table):
    """The rows of a published table."""
    path = PUBLISHED_RESULTS / folder / "tables" / f"{table}.csv"
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


@pytest.mark.parametrize(
    ("folder", "card", "n"),
    [
        ("calibrate_webshop", "webshop", 2000),
        ("calibrate_sciworld", "sciworld", 1000),
        ("calibrate_booking", "booking", 1000),
    ],
)
class TestPublishedTables:
    def test_they_are_of_the_experts_of_today(self, folder, card, n):
        """Who changes a rate runs the notebook again: params/notebooks/15_<folder>.yaml."""
        settings, names = experts_of_card(card).settings, {of for c, of in published.PUBLISHED if c == card}
        assert {
            name: {row["setting"]: float(row[name]) for row in rows(folder, "settings")} for name in names
        } == {name: dict(settings(name)) for name in names}

    def test_they_show_what_the_paper_prints_and_enough_tasks(self, folder, card, n):
        expected = [
            (name, f.quantity.name, f.source, f.value, f"{f.n or ''}")
            for (c, name), of in published.PUBLISHED.items()
            if c == card
            for f in of
        ]
        found = rows(folder, "calibration")
        assert [
            (r["expert"], r["quantity"], r["source"], float(r["paper"]), r.get("paper’s n", ""))
            for r in found
        ] == expected
        assert all(int(r["n"]) >= n for r in found)

    def test_they_say_themselves_what_agrees(self, folder, card, n):
        for row in rows(folder, "calibration"):
            assert (row["agrees"] == "yes") == (
                float(row["difference low"]) <= 0 <= float(row["difference high"])
            )
        disagree = {(r["expert"], r["quantity"]) for r in rows(folder, "calibration") if r["agrees"] == "no"}
        assert disagree <= (WEBSHOP_OUTSIDE if card == "webshop" else set())
