"""Figures: files that repeat, data beside them, and nothing left behind in matplotlib."""

import csv
import math
import re
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import pytest
from helpers.episodes import SKILLS, by_back, by_next, naive

from eefcore.evaluation.metrics import win_rate
from eefcore.evaluation.navigation import SkillRates, navigation_rates
from eefcore.evaluation.stats import Estimate, Gap
from eefcore.experts import published
from eefcore.experts.calibration import Calibration
from eefcore.figures import evaluation, plots, preferences

RUNS = {
    "SFT POS": [naive("a"), naive("b", 1.0), by_back("c", 0.5)],
    "EEF $1 & <b>": [by_next("a"), naive("b", 1.0), by_back("c")],
}
NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


def e(value):
    return Estimate(value, value - 0.1, value + 0.1, 100)


def calibrated(what, ours, gap):
    quantity = {"win rate": published.WIN_RATE, "length": published.LENGTH}[what]
    figure = published.PublishedFigure(quantity, ours - gap.value, 100, "EEF Table 1")
    return Calibration("strong", figure, e(figure.value), e(ours), gap)


PLOTS = {
    "win_rates": lambda: evaluation.win_rates({m: win_rate(run) for m, run in RUNS.items()}),
    "navigation": lambda: evaluation.navigation(
        {m: navigation_rates(SKILLS, run) for m, run in RUNS.items()}
    ),
    "curve": lambda: evaluation.curve(
        {"RFT×6": {0: e(0.4), 1: e(0.42)}, "EEF": {1: e(0.5), 0: e(0.4), 2: e(0.55)}}
    ),
    "budget": lambda: evaluation.budget({"RFT×N": {1: e(0.38), 11: e(0.4)}, "EEF": {2: e(0.4)}}),
    "state_line": lambda: evaluation.state_line(
        by_back("a", 0.5), {0: False, 3: True, 6: False}, trained=[(0, 3)], recovery=6
    ),
    "nothing judged": lambda: evaluation.win_rates({"EEF": NOTHING}),
    "three skills": lambda: evaluation.navigation(
        {m: navigation_rates({**SKILLS, "Wrong room": SKILLS["Next"]}, run) for m, run in RUNS.items()}
    ),
    "no skill used": lambda: evaluation.navigation({"EEF": {"Next": SkillRates(NOTHING, e(0.2))}}),
    "models": lambda: evaluation.models({"EEF": {"tiny": e(0.5), "qwen": e(0.4)}, "RFT": {"tiny": e(0.3)}}),
    "finders": lambda: evaluation.finders({"fixed": (e(5.0), e(0.5)), "binary": (e(2.5), e(0.4))}),
    "by_difficulty": lambda: evaluation.by_difficulty(
        {"EEF": {1: e(0.9), 3: e(0.2)}, "RFT": {1: e(0.9)}}, "page"
    ),
    "origins": lambda: evaluation.origins({"EEF": {"alone": 0.5, "helped": 0.25}, "RFT": {"alone": 0.5}}),
    "shares": lambda: evaluation.shares({"EEF": e(0.1), "RFT": Estimate(0.0, 0.0, 0.0, 1)}, "mistakes"),
    "calibration": lambda: evaluation.calibration(
        [
            calibrated("win rate", 0.36, Gap(0.0, -0.02, 0.02)),
            calibrated("length", 7.0, Gap(-1.2, -1.5, -0.9)),
        ]
    ),
    "one point": lambda: evaluation.curve({"EEF": {0: e(0.4)}}),
    "an expert of one action": lambda: evaluation.state_line(by_next("a", 1.0), {}),
}


def test_a_figure_says_that_an_environment_has_no_skills():
    plot = evaluation.navigation({m: navigation_rates({}, run) for m, run in RUNS.items()})
    assert "counts no navigation skill" in plot.axes[0].get_title(loc="left") and plot.data == []


@pytest.mark.parametrize("name", PLOTS)
def test_a_figure_is_three_files_that_repeat(name):
    first, second = (plots.render_files(PLOTS[name]()) for _ in range(2))
    assert [*first] == ["png", "svg", "csv"] and first == second
    assert all(len(content) > 30 for content in first.values())
    ElementTree.fromstring(first["svg"])
    assert list(csv.DictReader(first["csv"].decode().splitlines())) == [
        {key: str(value) for key, value in row.items()} for row in PLOTS[name]().data
    ]


@pytest.mark.parametrize("name", PLOTS)
def test_inline_figures_take_the_ink_of_the_page_and_share_no_id(name):
    one, other = (plots.inline_svg(PLOTS[name](), prefix, 'a < b & "c"') for prefix in ("f1", "f2"))
    assert plots.INK not in one
    assert "currentColor" in one
    ids = [re.findall(r'\bid="([^"]+)"', svg) for svg in (one, other)]
    assert len(set(ids[0])) == len(ids[0])
    assert not set(ids[0]) & set(ids[1])
    used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', one)
    assert {a or b for a, b in used} <= set(ids[0])
    assert ElementTree.fromstring(one).get("aria-label") == 'a < b & "c"'


def test_figures_leave_no_trace_in_matplotlib():
    before = dict(mpl.rcParams)
    for make in PLOTS.values():
        make()
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_a_plot_shows_itself_in_a_notebook():
    assert PLOTS["curve"]()._repr_png_().startswith(b"\x89PNG")


def test_the_state_line_keeps_its_data():
    data = PLOTS["state_line"]().data
    assert [row["policy_wins"] for row in data][:7] == [False, "", "", True, "", "", False]
    assert [row["step"] for row in data if row["kept"]] == [0, 1, 2]
    assert [row["step"] for row in data if row["recovery"]] == [6]
    texts = [t.get_text() for t in PLOTS["state_line"]().axes[0].texts]
    assert "click Back to Search" in texts
    assert texts.count("think") == 3
    assert "R = 0.50" in texts


def test_bars_are_as_long_as_the_numbers():
    (axes, _) = PLOTS["navigation"]().axes
    attempt, success = axes.patches[2:]  # of EEF: Next, used and won with in one task of three
    assert attempt.get_width() == success.get_width() == pytest.approx(100 / 3)
    assert attempt.get_facecolor()[3] == 0
    assert axes.get_title(loc="left") == "Next"


def test_points_stand_where_the_numbers_are():
    line, _ = PLOTS["budget"]().axes[0].containers
    x, y = line.lines[0].get_data()
    assert list(y) == pytest.approx([38, 40])
    assert list(x) == pytest.approx([1, 11], abs=0.1)


def test_a_calibrated_figure_stands_in_the_band_if_it_agrees():
    axes = PLOTS["calibration"]().axes[0]
    points = [line for line in axes.lines if line.get_marker() in ("o", "<", ">")]
    assert [(p.get_marker(), p.get_xdata()[0]) for p in points] == [("o", 0.0), ("<", -3.0)]
    assert [row["gap_in_errors"] for row in PLOTS["calibration"]().data] == pytest.approx([0.0, -4.0])
    assert [p.get_markerfacecolor() == "none" for p in points] == [False, True]
    assert {"36.0 %, EEF Table 1: 36.0 %", "7.00, EEF Table 1: 8.20"} <= {t.get_text() for t in axes.texts}


def test_more_methods_than_colours_look_different():
    lines = [
        c.lines[0] for c in evaluation.curve({f"m{i}": {0: e(0.4)} for i in range(12)}).axes[0].containers
    ]
    assert len({(line.get_color(), line.get_linestyle(), line.get_markerfacecolor()) for line in lines}) == 12


def test_a_bar_of_origins_is_as_long_as_what_was_solved():
    (axes,) = PLOTS["origins"]().axes
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches[:4]]
    assert ends == pytest.approx([50, 75, 50, 50])


def test_the_histogram_of_drift_counts_every_token():
    differences = [0.0, 0.001, -0.002, 0.3]
    rows = preferences.drift(differences).data
    assert sum(row["tokens"] for row in rows) == len(differences)
    assert rows[0]["from"] == pytest.approx(-0.002) and rows[-1]["to"] == pytest.approx(0.3)
    assert sum(row["tokens"] for row in preferences.drift([]).data) == 1
