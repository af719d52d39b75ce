"""The published figures: every expert that they are of is there, and they are what the paper prints."""

from __future__ import annotations

import pytest
from helpers.episodes import SKILLS, by_back, by_next, naive

from eefcore.experts.published import LENGTH, PUBLISHED, REWARD, WIN_RATE, used, won_by
from eefcore.experts.registry import experts_of_card

FIGURES = [(card, name, figure) for (card, name), of in PUBLISHED.items() for figure in of]


@pytest.mark.parametrize(("card", "name"), PUBLISHED)
def test_a_scripted_expert_stands_for_each_published_one(card, name):
    assert name in experts_of_card(card).strengths


@pytest.mark.parametrize(("card", "name", "figure"), FIGURES)
def test_a_share_is_a_whole_number_of_tasks(card, name, figure):
    """That all shares of Tables 3 and 4 are multiples of 0.4 % is why the paper's test panel is taken for 250 tasks."""
    if figure.quantity.share and figure.n is not None:
        assert 0 <= figure.value <= 1
        assert figure.value * figure.n == pytest.approx(round(figure.value * figure.n), abs=1e-6)


def test_the_totals_of_table_1():
    wins = {
        (card, name): (round(f.value * f.n), f.n)
        for card, name, f in FIGURES
        if f.quantity is WIN_RATE and f.source == "EEF Table 1"
    }
    assert wins == {("webshop", "strong"): (4106, 11338), ("sciworld", "strong"): (1489, 2120)}


@pytest.mark.parametrize(
    ("quantity", "values"),
    [
        (WIN_RATE, [0, 1, 1, 0]),
        (REWARD, [0.66, 1, 1, 0.5]),
        (LENGTH, [5, 8, 10, 8]),
        (used("Next"), [0, 1, 0, 1]),
        (won_by("Next"), [0, 1, 0, 0]),
        (used("Back"), [0, 0, 1, 0]),
        (won_by("Back"), [0, 0, 1, 0]),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_a_quantity_is_measured_on_a_trajectory(quantity, values):
    played = [naive("a"), by_next("b"), by_back("c"), by_next("d", 0.5)]
    assert [quantity.value(t, SKILLS) for t in played] == values
    assert quantity.share == (set(values) <= {0, 1})
