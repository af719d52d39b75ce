"""Define the settings of a tree search, and what it may know of rewards."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from eefcore.errors import ParamsError


class Signal(StrEnum):
    """What a search may know about how an episode ended. Results of the two signals never share a column (DESIGN 4.5)."""

    REWARD = "reward"  # the environment's R(τ)
    CRITIC = "critic"  # the critic's opinion of the last page; no reward enters the tree


class SearchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a tree search. The paper prints none of these numbers; the defaults are ours."""

    max_turns: int  # actions after which an episode is cut short, counting the root's; its return is then 0
    K: int = 5  # actions proposed at a node
    c_exp: float = 1.0  # exploration constant of eq. 6
    alpha: float = 0.5  # weight of Q̃ in eq. 9, in selection as well; 1 is the outcome alone
    discount: float = (
        1.0  # factor on a return for each action between an edge and the end; the paper has none
    )
    # actions below the root from which a node is only rolled out from; None expands up to `max_turns`
    depth: int | None = None
    wave: int = 1  # simulations of one tree at a time (`mcts.select`); 1 is the paper's search
    temperature: float = 1.0  # sampling temperature of proposals
    rollout_temperature: float = 1.0  # sampling temperature of rollouts
    # whether proposals at a node that have the same effect are one action; else only those of the same text are
    merge: bool = True
    # the return that is backed up: `win`, 1 if the task is solved and else 0, as in the paper; or the graded `reward`
    by: str = "win"
    seed: int = 0  # of all draws; a draw depends on it and on where in the tree it is made, never on when

    def __post_init__(self) -> None:
        wrong = [
            f"{name} {getattr(self, name)!r}, expected {expected}"
            for name, expected, right in (
                ("K", "at least 1", self.K >= 1),
                ("c_exp", "at least 0", self.c_exp >= 0.0),
                ("alpha", "0 to 1", 0.0 <= self.alpha <= 1.0),
                ("discount", "above 0, at most 1", 0.0 < self.discount <= 1.0),
                ("depth", "none, or at least 1", self.depth is None or self.depth >= 1),
                ("wave", "at least 1", self.wave >= 1),
                ("by", "win or reward", self.by in ("win", "reward")),
            )
            if not right
        ]
        if wrong:
            raise ParamsError(f"search settings: {'; '.join(wrong)}")
