"""Hold the figures that the paper prints of its experts, each with its source: what scripted experts are calibrated to.

    PUBLISHED[card, strength]    the published figures of the expert in whose place a scripted expert stands

`strong` stands where GPT-4 stands in EEF, `weak` where GPT-3.5 Turbo does; ScienceWorld's `strong` stands where AgentGym's
demonstrations stand, three quarters of which are GPT-4 Turbo's. On the booking site they stand where GPT-4o and the untrained
Llama-3-70B stand in Agent Q. The figures are written here and nowhere else.
`eefcore.experts.calibration` measures an expert beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from eefcore.protocols import Skill
from eefcore.types import Trajectory

Skills = Mapping[str, Skill]
"""The navigation skills of an environment by their names."""


class Quantity(NamedTuple):
    """A quantity of which a paper prints the mean over tasks.

    Attributes:
        name: as tables write it.
        value: its value on one trajectory.
        share: whether that is 0 or 1, so that the mean is a share of tasks.
    """

    name: str
    value: Callable[[Trajectory, Skills], float]
    share: bool = False


class PublishedFigure(NamedTuple):
    """A figure that a paper prints: the mean of a quantity over n tasks, one trajectory a task, and where it is printed.

    `n` is None where the paper does not say it. The figure is then taken as exact, so that it is no easier to agree with.
    """

    quantity: Quantity
    value: float
    n: int | None
    source: str


WIN_RATE = Quantity("win rate", lambda t, _: float(t.win), share=True)
REWARD = Quantity("reward", lambda t, _: t.reward)
LENGTH = Quantity("length", lambda t, _: float(len(t)))
"""|τ_e|, the number of actions. A thought is an action of its own in WebShop; in ScienceWorld it opens its action."""


def used(skill: str) -> Quantity:
    """Return the share of tasks in which a skill was used (EEF Table 4, Attempt)."""
    return Quantity(f"{skill} used", lambda t, skills: float(bool(skills[skill](t.history))), share=True)


def won_by(skill: str) -> Quantity:
    """Return the share of tasks that were won by a trajectory that uses a skill (EEF Table 4, Success)."""
    return Quantity(
        f"{skill} won", lambda t, skills: float(t.win and bool(skills[skill](t.history))), share=True
    )


_WEBSHOP_TRAIN, _WEBSHOP_TEST, _SCIWORLD_TRAIN = 11_338, 250, 2_120
"""Tasks behind the figures. Table 1 counts those of training; the paper does not say how many test tasks WebShop has, but all of
Table 4 and nearly all of Table 3 are multiples of 0.4 %, which makes them 250."""


def _on_the_test_panel(
    *, wins: float, reward: float, next_used: float, next_won: float, back_used: float, back_won: float
) -> tuple[PublishedFigure, ...]:
    """Return what EEF Tables 3 and 4 print of an expert on WebShop's test tasks."""
    figures = (
        (WIN_RATE, wins, "EEF Table 3"),
        (REWARD, reward, "EEF Table 3"),
        (used("Next"), next_used, "EEF Table 4"),
        (won_by("Next"), next_won, "EEF Table 4"),
        (used("Back"), back_used, "EEF Table 4"),
        (won_by("Back"), back_won, "EEF Table 4"),
    )
    return tuple(PublishedFigure(what, value, _WEBSHOP_TEST, source) for what, value, source in figures)


PUBLISHED: Mapping[tuple[str, str], tuple[PublishedFigure, ...]] = {
    ("webshop", "strong"): (
        PublishedFigure(WIN_RATE, 4106 / _WEBSHOP_TRAIN, _WEBSHOP_TRAIN, "EEF Table 1"),
        PublishedFigure(LENGTH, 8.26, _WEBSHOP_TRAIN, "EEF Table 1"),
        *_on_the_test_panel(
            wins=0.356, reward=0.66, next_used=0.168, next_won=0.028, back_used=0.140, back_won=0.028
        ),
    ),
    ("webshop", "weak"): _on_the_test_panel(
        wins=0.232, reward=0.60, next_used=0.032, next_won=0.0, back_used=0.168, back_won=0.024
    ),
    ("sciworld", "strong"): (
        PublishedFigure(WIN_RATE, 1489 / _SCIWORLD_TRAIN, _SCIWORLD_TRAIN, "EEF Table 1"),
        PublishedFigure(LENGTH, 20.2, _SCIWORLD_TRAIN, "EEF Table 1"),
    ),
    ("booking", "strong"): (PublishedFigure(WIN_RATE, 0.626, None, "Agent Q §6"),),
    ("booking", "weak"): (PublishedFigure(WIN_RATE, 0.186, None, "Agent Q §6"),),
}
"""The published figures by the name on the environment card and the strength of the scripted expert."""
