"""A scripted ScienceWorld expert that follows a way through the task and thinks aloud, and an imperfect one.

    Habits      whether it opens what is closed, and how often it sees that something went wrong
    Mistakes    how often an imperfect scientist slips, and how
    Scientist   h_t -> a_t

It has a plan, made before it starts, and a place in it. What it may do wrong is explicit, seeded by task and place,
and marked: a step is left out, replaced, or put off by something useless. It reads the answers: who notices that this
is the wrong room, or that a step did nothing, goes back and mends it; who does not goes on with the rest of the plan.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import NamedTuple

from eefcore.envs.sciworld.env import simulator_command
from eefcore.experts.sciworld.scene import HOUSE, Scene, after, opening, way, words
from eefcore.experts.sciworld.thoughts import AIDS, Plan, decided, nav, thought
from eefcore.types import History, Mistake

AHEAD = 8  # steps of the plan that somebody else's action is looked for in


class Habits(NamedTuple):
    """What a scientist does by itself."""

    opens: bool  # doors and containers
    notices: float  # share of what goes wrong that it sees, and mends


EXPERT = Habits(opens=True, notices=0.5)
NAIVE = Habits(opens=False, notices=0.0)


class Mistakes(NamedTuple):
    """Probabilities of each slip, for a step of the plan.

    Each grows with everything that had to be mended, × (1 + stray): who has left the straight way loses the thread, and
    an expert wins what is simple (EEF §3.1).
    """

    drop: float = 0.0  # a step is left out
    replace: float = 0.0  # something else is done instead
    insert: float = 0.0  # something else is done first
    stray: float = 0.0


NONE = Mistakes()


class _Mind(NamedTuple):
    """Where a scientist is in its plan."""

    at: int = 0  # the next step
    todo: tuple[tuple[str, tuple[str, ...]], ...] = ()  # to do before it: a command and the slips behind it
    tried: frozenset[int] = frozenset()  # steps that were come to, and slipped at or not
    left: tuple[int, ...] = ()  # steps that were not done
    mended: int = 0  # what was noticed so far


class _Decision(NamedTuple):
    told: str
    step: int  # of the plan, that it is about
    noticed: str
    slips: tuple[str, ...]
    mind: _Mind  # after it


class Scientist:
    """h_t -> a_t of a scripted scientist; a function of the history alone, so it can start anywhere.

    After actions that are not its own it goes on from the step of the plan that they were, or from where it was.
    """

    def __init__(
        self,
        plans: Mapping[str, Plan],
        *,
        name: str = "expert",
        habits: Habits = EXPERT,
        mistakes: Mistakes = NONE,
        seed: int = 0,
    ) -> None:
        self.name, self.habits, self.mistakes, self.seed = name, habits, mistakes, seed
        self._plans = plans

    def plan(self, task_id: str) -> Plan:
        """Its way through a task."""
        return self._plans[task_id]

    def act(self, history: History) -> str:
        """a_t: a thought and an action, on one line."""
        decision, now = self._decided(history)
        if decision is None:
            return words(decided("I do not know what else to do.", told="look around"), "look around")
        plan = self._plans[history.task_id]
        return words(
            thought(plan, decision.step, decision.told, now, noticed=decision.noticed), decision.told
        )

    def marks(self, history: History) -> tuple[Mistake, ...]:
        """The slips behind a_t; for analysis only. A step that was left out is marked on what is done instead."""
        decision, _ = self._decided(history)
        return tuple(Mistake(len(history), slip) for slip in decision.slips) if decision else ()

    def gives_up(self, history: History) -> bool:
        """Whether nothing is left of the plan, and nothing that it noticed could be mended."""
        return self._decided(history)[0] is None

    def ahead(self, history: History) -> str:
        """The step of the plan that is next, whether its habits let it be done or not; empty at the end."""
        plan, (mind, _) = self._plans[history.task_id], self._stood(history)
        return plan.actions[mind.at] if mind.at < len(plan.actions) else ""

    def _decided(self, history: History) -> tuple[_Decision | None, Scene]:
        mind, now = self._stood(history)
        return self._decide(history.task_id, self._plans[history.task_id], mind, now), now

    def _stood(self, history: History) -> tuple[_Mind, Scene]:
        """Its mind, and the scene, at h_t."""
        plan = self._plans[history.task_id]
        first, *answers = (*(s.observation for s in history.steps), history.observation)
        mind, now = _Mind(), opening(first)
        for step, answer in zip(history.steps, answers, strict=True):
            told = simulator_command(step.action)
            decision = self._decide(history.task_id, plan, mind, now)
            own = decision is not None and decision.told == told
            mind = decision.mind if own and decision else _aligned(plan, mind, told)
            now = after(now, told, answer)
        return mind, now

    def _decide(self, task_id: str, plan: Plan, mind: _Mind, now: Scene) -> _Decision | None:
        if now.asked and not (mind.at < len(plan.actions) and plan.actions[mind.at].isdecimal()):
            return _Decision("0", mind.at, "", (), mind)
        if mind.todo:
            (told, slips), *rest = mind.todo
            return _Decision(told, mind.at, "", slips, mind._replace(todo=tuple(rest)))
        return self._mend(task_id, plan, mind, now) or self._go_on(task_id, plan, mind, now)

    def _mend(self, task_id: str, plan: Plan, mind: _Mind, now: Scene) -> _Decision | None:
        """What to do about something that is not as the plan has it, if it is noticed."""
        at = mind.at
        if at == len(plan.actions):
            if not mind.left or not self._notices(task_id, at):
                return None
            # Once more from the first step that was left out; what is done already does no harm.
            again = mind._replace(at=mind.left[0], left=(), mended=mind.mended + 1)
            return self._mend(task_id, plan, again, now) or self._go_on(task_id, plan, again, now)
        if now.room != plan.scenes[at].room and self._notices(task_id, at):
            hop = way(now.room, plan.scenes[at].room)[0]
            told = [*([] if now.is_open(hop) else [f"open door to {hop}"]), f"go to {hop}"]
            shut = now.answer.startswith("The door is not open")
            noticed = "The door is not open." if shut else f"This is the {now.room}."
            return _mended(told, at, noticed, mind)
        here = [i for i in mind.left if plan.scenes[i].room == now.room and not nav(plan.actions[i])]
        if now.refused and at and here and self._notices(task_id, at):
            told = [plan.actions[here[-1]], plan.actions[at - 1]]
            left = tuple(i for i in mind.left if i != here[-1])
            return _mended(told, at, "That did not work.", mind._replace(left=left))
        return None

    def _go_on(self, task_id: str, plan: Plan, mind: _Mind, now: Scene) -> _Decision | None:
        """The next step of the plan, or a slip."""
        slips: tuple[str, ...] = ()
        for at in range(mind.at, len(plan.actions)):
            told = plan.actions[at]
            if told.startswith("open ") and not self.habits.opens:
                continue
            slip = "" if at in mind.tried else self._slip(task_id, plan, at, mind.mended)
            mind = mind._replace(at=at + 1, tried=mind.tried | {at})
            if slip in ("drop", "replace"):
                mind = mind._replace(left=(*mind.left, at))
            if slip == "drop":
                slips += (slip,)
                continue
            if slip:
                slips += (slip,)
                told, *rest = self._wrong(task_id, plan, at, now, slip)
                mind = mind._replace(
                    at=at + (slip == "replace"), todo=tuple((further, (slip,)) for further in rest)
                )
            return _Decision(told, at, "", slips, mind)
        return None

    def _slip(self, task_id: str, plan: Plan, at: int, mended: int) -> str:
        """The slip at a step of the plan, or none; what only looks can't be missed, and the last is not forgotten."""
        more = (1 + self.mistakes.stray) ** mended
        drop, replace, insert = (rate * more for rate in self.mistakes[:3])
        if AIDS.match(plan.actions[at]) and not nav(plan.actions[at]):
            drop = replace = 0.0
        if at == len(plan.actions) - 1:
            drop, replace = 0.0, drop + replace
        drawn = self._rng(task_id, at, "slip").random()
        for kind, rate in (("drop", drop), ("replace", replace), ("insert", insert)):
            if drawn < rate:
                return kind
            drawn -= rate
        return ""

    def _wrong(self, task_id: str, plan: Plan, at: int, now: Scene, slip: str) -> list[str]:
        """Something that does not help here: another room, or another thing."""
        rng, told = self._rng(task_id, at, "wrong"), plan.actions[at]
        verb, thing = _SAID.match(told).groups() if _SAID.match(told) else ("", "")
        others = [t for t in now.things if t not in told]
        right = (nav(told), plan.scenes[at + 1].room)
        rooms = [r for r in HOUSE[now.room] if r not in right]
        if rooms and (not others or nav(told) or rng.random() < 0.3):
            room = rng.choice(rooms)
            return [*([] if now.is_open(room) else [f"open door to {room}"]), f"go to {room}"]
        if not others:
            return ["wait1"]
        other = rng.choice(others)
        if verb == "focus on" and slip == "insert":
            return [f"focus on the {thing} and the {other}"]
        if verb in ("focus on", "pick up", "open", "activate"):
            return [f"{verb} {other}"]
        if verb == "move":
            return [f"move {thing} to {other}"]
        return [f"{rng.choice(('examine', 'pick up', 'open', 'activate'))} {other}"]

    def _notices(self, task_id: str, at: int) -> bool:
        return self._rng(task_id, at, "notices").random() < self.habits.notices

    def _rng(self, task_id: str, at: int, what: str) -> random.Random:
        return random.Random(f"{self.name}|{self.seed}|{task_id}|{at}|{what}")


_SAID = re.compile(r"(focus on|pick up|open|activate|move) (.+?)(?: to .+)?$")


def _mended(told: list[str], at: int, noticed: str, mind: _Mind) -> _Decision:
    first, *rest = told
    after = mind._replace(todo=tuple((further, ()) for further in rest), mended=mind.mended + 1)
    return _Decision(first, at, noticed, (), after)


def _aligned(plan: Plan, mind: _Mind, told: str) -> _Mind:
    """The mind after somebody else's action: past that step of the plan, if it is one."""
    for at in range(mind.at, min(mind.at + AHEAD, len(plan.actions))):
        if plan.actions[at] == told:
            return mind._replace(at=at + 1, todo=())
    return mind._replace(todo=())
