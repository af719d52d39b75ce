"""Write what an agent thinks before it acts: what it looks for, where that is, and what it does about it.

    Plan      a way through a task, and the scene before each of its actions
    thought   one or two sentences that end in the command they decide: `I need the thermometer, in the kitchen. I should …`

Thoughts are made from the plan's next steps and from what has been seen. What only the simulator knows (which animal
lives longest, what conducts before it is tested) is said when it is acted upon, and not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from eefcore.experts.sciworld.gold import GoldPath
from eefcore.experts.sciworld.scene import Scene, first_scene, next_scene, route, thermometer_reading

_CLOSED = " The door is closed."
_TO_A_ROOM = re.compile(r"(open door to|go to) (.+)$")
PREPARATIONS = re.compile(r"look around|open |examine |wait")
"""Commands that only prepare what follows them."""

_CATEGORIES = {
    "find-living-thing": ("a living thing", "is a living thing"),
    "find-non-living-thing": ("a non-living thing", "is not alive"),
    "find-plant": ("a plant", "is a plant"),
    "find-animal": ("an animal", "is an animal"),
}
_LOOKED_FOR = {
    "lifespan-longest-lived": "the animals",
    "lifespan-shortest-lived": "the animals",
    "lifespan-longest-lived-then-shortest-lived": "the animals",
    "identify-life-stages-1": "the animals",
    "identify-life-stages-2": "the plants",
    **{kind: what for kind, (what, _) in _CATEGORIES.items()},
}


class Plan(NamedTuple):
    """A way through a task: its kind and instruction, the actions, and the scene before each and after the last."""

    kind: str
    instruction: str
    actions: tuple[str, ...]
    scenes: tuple[Scene, ...]

    def next_deed(self, i: int) -> int:
        """Return the index of the first action from i on that does something: it neither walks, looks nor waits."""
        for j, command in enumerate(self.actions[i:], i):
            if not PREPARATIONS.match(command) and not destination(command):
                return j
        return len(self.actions) - 1


def plan_of(kind: str, path: GoldPath) -> Plan:
    """Return the plan that follows a gold path through a task of that kind."""
    scenes = [first_scene(path.observations[0])]
    for command, answer in zip(path.actions, path.observations[1:], strict=True):
        scenes.append(next_scene(scenes[-1], command, answer))
    return Plan(kind, path.observations[0].partition("\n")[0], path.actions, tuple(scenes))


def destination(command: str) -> str:
    """Return the room that a command opens the door to, or goes to; empty if it does neither."""
    found = _TO_A_ROOM.match(command)
    return found[2] if found else ""


def thought(plan: Plan, i: int, command: str, scene: Scene, *, noticed: str = "") -> str:
    """Return the thought before `command`, when a_i of the plan is next; `noticed` is a first sentence about what is wrong."""
    i = min(i, len(plan.actions) - 1)
    room = destination(command)
    reason = _walk_reason(plan, i, room, command, scene) if room else _deed_reason(plan, i, command, scene)
    return conclude(noticed, reason, command=command)


def conclude(*reasons: str, command: str) -> str:
    """Return a thought: sentences, of which some may be empty, and the command that follows from them."""
    decision = f"I should {'answer ' if command.isdecimal() else ''}{command}."
    return " ".join(sentence for sentence in (*reasons, decision) if sentence)


def walking_reason(need: str, room: str, goal: str, *, closed: bool) -> str:
    """Return the reason for a walk in words: its purpose, its room, and the next room on the way, whose door may be closed."""
    through = f", through the {room}" if room != goal else ""
    return f"{need}, {location(goal)}{through}.{_CLOSED if closed else ''}"


def location(room: str) -> str:
    """Return where a room is, in words: `in the kitchen`, `outside`."""
    return "outside" if room == "outside" else f"in the {room}"


def _walk_reason(plan: Plan, i: int, room: str, command: str, scene: Scene) -> str:
    j = plan.next_deed(i)
    goal = plan.scenes[j].room
    need, closed = _purpose(plan, j), command.startswith("open")
    on_the_way = len(route(room, goal)) + 1 == len(route(scene.room, goal))
    if room != goal and not on_the_way:  # a way round, or to look for it
        return f"{need}. It may be {location(room)}.{_CLOSED if closed else ''}"
    return walking_reason(need, room, goal, closed=closed)


def _purpose(plan: Plan, j: int) -> str:
    """Return what a_j is for, as said on the way to it."""
    command = plan.actions[j]
    if command.startswith("focus on "):
        thing = _LOOKED_FOR.get(plan.kind) or "the " + _plain_thing(command.removeprefix("focus on "))
        return f"I look for {thing}"
    if moved := re.match(r"move (.+) to (.+)$", command):
        end = moved[2] if plan.kind in _CATEGORIES or "box" not in moved[2] else "boxes"
        return f"I bring the {_plain_thing(moved[1])} to the {end}"
    if dropped := re.match(r"drop (.+)$", command):
        return f"I bring the {_plain_thing(dropped[1])}"
    if measured := re.match(r"use thermometer in inventory on (.+)$", command):
        return f"I bring the {_plain_thing(measured[1])} to the boxes"
    if command.startswith("connect "):
        return "I build a circuit"
    if used := re.match(r"(?:pick up|pour|activate|deactivate|mix|read) (.+?)(?: (?:in|into) .+)?$", command):
        return f"I need the {_plain_thing(used[1])}"
    return "I go on"


def _deed_reason(plan: Plan, i: int, command: str, scene: Scene) -> str:
    for pattern, reason in _REASONS:
        if match := pattern.match(command):
            return reason(plan, i, scene, match)
    return ""


def _look_reason(plan: Plan, i: int, scene: Scene, match: re.Match[str]) -> str:
    if scene.things:
        return "I see what has changed."
    return f"I am {location(scene.room)}. {_purpose(plan, plan.next_deed(i))}."


def _pick_up_reason(plan: Plan, i: int, scene: Scene, match: re.Match[str]) -> str:
    thing = _plain_thing(match[1])
    return f"The {thing} is here, I need it." if thing in scene.things else f"I need the {thing}."


def _focus_reason(plan: Plan, i: int, scene: Scene, match: re.Match[str]) -> str:
    thing = _plain_thing(match[1])
    if plan.kind in _CATEGORIES:
        return f"The {thing} {_CATEGORIES[plan.kind][1]}."
    if plan.kind.startswith("lifespan"):
        first = not any(a.startswith("focus") for a in plan.actions[:i])
        longest = "longest" in plan.kind and (first or "then" not in plan.kind)
        return f"Of these the {thing} lives {'longest' if longest else 'shortest'}."
    if plan.kind.startswith("identify"):
        return f"The next stage is the {thing}."
    if "box" in thing and (degrees := _measured_degrees(plan, scene)):
        return f"It melts at about {degrees}."
    if "paint" in thing or plan.kind.startswith("chemistry"):
        return f"The {thing} is ready."
    return f"The task is about the {thing}."


def _move_reason(plan: Plan, i: int, scene: Scene, match: re.Match[str]) -> str:
    thing, place = _plain_thing(match[1]), match[2]
    if place.endswith("box") and plan.kind not in _CATEGORIES:
        if degrees := _measured_degrees(plan, scene):
            return f"It has {degrees}."
        if light := re.search(r"light bulb, which is (on|off)", scene.answer):
            return f"The light is {light[1]}, so it {'conducts' if light[1] == 'on' else 'does not conduct'}."
    return f"The {thing} goes to the {place}."


def _measured_degrees(plan: Plan, scene: Scene) -> str:
    """Return `44 degrees, above 0.0`, if the thermometer was just read and the task asks for that; else ""."""
    degrees = thermometer_reading(scene.answer)
    limit = re.search(r"above (-?[\d.]+) degrees", plan.instruction)
    if degrees is None or limit is None:
        return ""
    return f"{degrees} degrees, {'above' if degrees > float(limit[1]) else 'below'} {limit[1]}"


def _plain_thing(name: str) -> str:
    """Return a command's name of a thing without where it is; of a cup of paint the paint."""
    name = re.sub(r" in (?:inventory|the .*)$", "", name)
    paint = re.search(r"containing ((?:\w|-)+ paint)", name)
    return paint[1] if paint else name


_Reason = Callable[[Plan, int, Scene, "re.Match[str]"], str]


def _say(text: str) -> _Reason:
    return lambda plan, i, scene, match: text.format(*map(_plain_thing, match.groups()))


_REASONS: list[tuple[re.Pattern[str], _Reason]] = [
    (re.compile(pattern), reason)
    for pattern, reason in (
        (r"look around$", _look_reason),
        (r"pick up (.+)$", _pick_up_reason),
        (r"focus on (.+)$", _focus_reason),
        (r"move (.+) to (.+)$", _move_reason),
        (r"use thermometer in inventory on (.+)$", _say("I measure the {0}.")),
        (r"connect (.+) to (.+)$", _say("I build a circuit.")),
        (r"pour (.+) in(?:to)? (.+)$", _say("I need the {0} in the {1}.")),
        (r"mix (.+)$", _say("All is in the {0}.")),
        (r"open (.+)$", _say("Something may be in the {0}.")),
        (r"drop (.+)$", _say("The {0} belongs here.")),
        (r"activate (.+)$", _say("The {0} is off.")),
        (r"deactivate (.+)$", _say("The {0} is on long enough.")),
        (r"read (.+)$", _say("It says what to do.")),
        (r"examine (.+)$", _say("I watch the {0}.")),
        (r"wait", _say("It needs time.")),
        (r"\d+$", _say("Any of them will do.")),
    )
]
