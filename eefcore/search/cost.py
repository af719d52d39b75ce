"""Count what growing trees took, and what went wrong on the way. `forest.search_cost` turns it into the units of the ledger."""

from __future__ import annotations

import msgspec


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """Counts of a search, summed over simulations; `a + b` adds them up.

    Attributes:
        asked: questions to π_θ.
        critic_asked: questions to the critic.
        critic_read: tokens of the critic's questions, without the history they ask about.
        tokens_written: by both.
        env_steps: actions that the environment answered.
        proposals: actions proposed, those below among them.
        merged: proposals that had the effect of another.
        malformed: proposals without an action, and those that found the context full.
        lost: proposals that the infrastructure spoilt.
        failed: simulations that the infrastructure spoilt; no return of theirs is backed up.
        unparseable: answers of the critic that named no action.
        neutral: rankings left incomplete because of it.
        irreversible: actions that can't be undone outside, done in a snapshot.
        violations: such actions anywhere else, which were refused; there must be none.
    """

    asked: int = 0
    critic_asked: int = 0
    critic_read: int = 0
    tokens_written: int = 0
    env_steps: int = 0
    proposals: int = 0
    merged: int = 0
    malformed: int = 0
    lost: int = 0
    failed: int = 0
    unparseable: int = 0
    neutral: int = 0
    irreversible: int = 0
    violations: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, n) + getattr(other, n) for n in self.__struct_fields__))
