"""What an agent says to itself before it acts: what it looks for, where that is, and what it does about it.

Plan      a way through a task, and the scene before each of its actions
thought   one or two sentences that end in the action they decide: `I need the thermometer, in the kitchen. I should …`

Thoughts are made from the plan's own next steps and from what has been seen: a destination is where the plan next does
something, a reading is the thermometer's. What only the simulator knows (which animal lives longest, what conducts
before it is tested) is said when it is acted upon, and not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from eefcore.experts.sciworld.gold import Gold
from eefcore.experts.sciworld.scene import Scene, after, opening, reading, way

_CLOSED = " The door is closed."
_NAV = re.compile(r"(open door to|go to) (.+)$")
AIDS = re.compile(r"look around|open |examine |wait")  # of what follows them
_CATEGORIES = {
    "find-living-thing": ("a living thing", "is a living thing"),
    "find-non-living-thing": ("a non-living thing", "is not alive"),
    "find-plant": ("a plant", "is a plant"),
    "find-animal": ("an animal", "is an animal"),
}
_SOUGHT = {
    "lifespan-longest-lived": "the animals",
    "lifespan-shortest-lived": "the animals",
    "lifespan-longest-lived-then-shortest-lived": "the animals",
    "identify-life-stages-1": "the animals",
    "identify-life-stages-2": "the plants",
    **{kind: what for kind, (what, _) in _CATEGORIES.items()},
}


class Plan(NamedTuple):
    """A way through a task: what is asked, the actions, and the scene before each of them and after the last."""

    kind: str
    asked: str
    actions: tuple[str, ...]
    scenes: tuple[Scene, ...]

    def then(self, i: int) -> int:
        """The index of the first action from i on that does something: no step to another room, no look, no wait."""
        n = len(self.actions)
        return next(
            (j for j in range(i, n) if not AIDS.match(self.actions[j]) and not nav(self.actions[j])), n - 1
        )


def plan(kind: str, gold: Gold) -> Plan:
    """The plan that a gold is."""
    scenes = [opening(gold.observations[0])]
    for told, answer in zip(gold.actions, gold.observations[1:], strict=True):
        scenes.append(after(scenes[-1], told, answer))
    return Plan(kind, gold.observations[0].partition("\n")[0], gold.actions, tuple(scenes))


def nav(told: str) -> str:
    """The room that a command opens the door to, or goes to; empty if it does neither."""
    found = _NAV.match(told)
    return found[2] if found else ""


def thought(plan: Plan, i: int, told: str, now: Scene, *, noticed: str = "") -> str:
    """Why `told`, where a_i of the plan is next.

    Args:
        noticed: what was seen to be wrong, in a sentence.
    """
    i = min(i, len(plan.actions) - 1)
    why = _walking(plan, i, nav(told), told, now) if nav(told) else _doing(plan, i, told, now)
    return decided(*(s for s in (noticed, why) if s), told=told)


def decided(*why: str, told: str) -> str:
    """A thought: sentences, and what follows from them."""
    return " ".join((*why, f"I should {'answer ' if told.isdecimal() else ''}{told}."))


def walking(need: str, hop: str, there: str, *, closed: bool) -> str:
    """What one goes for, where that is, and through which room, the next; its door may be closed."""
    through = f", through the {hop}" if hop != there else ""
    return f"{need}, {place(there)}{through}.{_CLOSED if closed else ''}"


def place(room: str) -> str:
    """Where that is: `in the kitchen`, `outside`."""
    return "outside" if room == "outside" else f"in the {room}"


def _walking(plan: Plan, i: int, room: str, told: str, now: Scene) -> str:
    j = plan.then(i)
    there = plan.scenes[j].room
    need, closed = _purpose(plan, j), told.startswith("open")
    if room != there and len(way(room, there)) + 1 != len(
        way(now.room, there)
    ):  # a way round, or to look for it
        return f"{need}. It may be {place(room)}.{_CLOSED if closed else ''}"
    return walking(need, room, there, closed=closed)


def _purpose(plan: Plan, j: int) -> str:
    """What a_j is for, as said on the way to it."""
    told = plan.actions[j]
    if told.startswith("focus on "):
        return f"I look for {_SOUGHT.get(plan.kind) or 'the ' + _thing(told.removeprefix('focus on '))}"
    if moved := re.match(r"move (.+) to (.+)$", told):
        end = moved[2] if plan.kind in _CATEGORIES or "box" not in moved[2] else "boxes"
        return f"I bring the {_thing(moved[1])} to the {end}"
    if put := re.match(r"drop (.+)$", told):
        return f"I bring the {_thing(put[1])}"
    if measured := re.match(r"use thermometer in inventory on (.+)$", told):
        return f"I bring the {_thing(measured[1])} to the boxes"
    if told.startswith("connect "):
        return "I build a circuit"
    if used := re.match(r"(?:pick up|pour|activate|deactivate|mix|read) (.+?)(?: (?:in|into) .+)?$", told):
        return f"I need the {_thing(used[1])}"
    return "I go on"


def _doing(plan: Plan, i: int, told: str, now: Scene) -> str:
    for pattern, why in _REASONS:
        if match := pattern.match(told):
            return why(plan, i, now, match)
    return ""


def _look(plan: Plan, i: int, now: Scene, match: re.Match[str]) -> str:
    if now.things:
        return "I see what has changed."
    return f"I am {place(now.room)}. {_purpose(plan, plan.then(i))}."


def _take(plan: Plan, i: int, now: Scene, match: re.Match[str]) -> str:
    thing = _thing(match[1])
    return f"The {thing} is here, I need it." if thing in now.things else f"I need the {thing}."


def _focus(plan: Plan, i: int, now: Scene, match: re.Match[str]) -> str:
    thing = _thing(match[1])
    if plan.kind in _CATEGORIES:
        return f"The {thing} {_CATEGORIES[plan.kind][1]}."
    if plan.kind.startswith("lifespan"):
        first = not any(a.startswith("focus") for a in plan.actions[:i])
        longest = "longest" in plan.kind and (first or "then" not in plan.kind)
        return f"Of these the {thing} lives {'longest' if longest else 'shortest'}."
    if plan.kind.startswith("identify"):
        return f"The next stage is the {thing}."
    if "box" in thing and (said := _measured(plan, now)):
        return f"It melts at about {said}."
    if "paint" in thing or plan.kind.startswith("chemistry"):
        return f"The {thing} is ready."
    return f"The task is about the {thing}."


def _put(plan: Plan, i: int, now: Scene, match: re.Match[str]) -> str:
    what, where = _thing(match[1]), match[2]
    if where.endswith("box") and plan.kind not in _CATEGORIES:
        if said := _measured(plan, now):
            return f"It has {said}."
        if light := re.search(r"light bulb, which is (on|off)", now.answer):
            return f"The light is {light[1]}, so it {'conducts' if light[1] == 'on' else 'does not conduct'}."
    return f"The {what} goes to the {where}."


def _measured(plan: Plan, now: Scene) -> str:
    """`44 degrees, above 0.0`, if the thermometer has just spoken and the task asks for it."""
    degrees, limit = reading(now.answer), re.search(r"above (-?[\d.]+) degrees", plan.asked)
    if degrees is None or limit is None:
        return ""
    return f"{degrees} degrees, {'above' if degrees > float(limit[1]) else 'below'} {limit[1]}"


def _thing(said: str) -> str:
    """What a command calls a thing, without where it is; of a cup of paint the paint."""
    said = re.sub(r" in (?:inventory|the .*)$", "", said)
    paint = re.search(r"containing ((?:\w|-)+ paint)", said)
    return paint[1] if paint else said


_Why = Callable[[Plan, int, Scene, "re.Match[str]"], str]


def _says(text: str) -> _Why:
    return lambda plan, i, now, match: text.format(*map(_thing, match.groups()))


_REASONS: list[tuple[re.Pattern[str], _Why]] = [
    (re.compile(pattern), why)
    for pattern, why in (
        (r"look around$", _look),
        (r"pick up (.+)$", _take),
        (r"focus on (.+)$", _focus),
        (r"move (.+) to (.+)$", _put),
        (r"use thermometer in inventory on (.+)$", _says("I measure the {0}.")),
        (r"connect (.+) to (.+)$", _says("I build a circuit.")),
        (r"pour (.+) in(?:to)? (.+)$", _says("I need the {0} in the {1}.")),
        (r"mix (.+)$", _says("All is in the {0}.")),
        (r"open (.+)$", _says("Something may be in the {0}.")),
        (r"drop (.+)$", _says("The {0} belongs here.")),
        (r"activate (.+)$", _says("The {0} is off.")),
        (r"deactivate (.+)$", _says("The {0} is on long enough.")),
        (r"read (.+)$", _says("It says what to do.")),
        (r"examine (.+)$", _says("I watch the {0}.")),
        (r"wait", _says("It needs time.")),
        (r"\d+$", _says("Any of them will do.")),
    )
]
