"""What an agent knows of the house: a ScienceWorld dialogue read back into the room it stands in.

Scene      the room, what is listed in it, which doors are open, what is carried, how the last command was answered
scene      History -> Scene
way        the rooms on the way from one to another; the house has the same plan in every task
words      an action: a thought, and what it decides
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import NamedTuple

from eefcore.envs.sciworld.env import simulator_command
from eefcore.types import History

HOUSE: Mapping[str, tuple[str, ...]] = {
    "hallway": ("art studio", "bedroom", "greenhouse", "kitchen", "living room", "workshop"),
    "kitchen": ("bathroom", "hallway", "outside"),
    "greenhouse": ("hallway", "outside"),
    "outside": ("foundry", "greenhouse", "kitchen"),
    "art studio": ("hallway",),
    "bedroom": ("hallway",),
    "living room": ("hallway",),
    "workshop": ("hallway",),
    "bathroom": ("kitchen",),
    "foundry": ("outside",),
}
"""The rooms, and which doors each has."""

_ROOM = re.compile(r"(?:This room|This outside location) is called the ([a-z ]+)\.")
_DOOR = re.compile(r"^\tA door to the ([a-z ]+) \(that is (open|closed)\)", re.M)
_WENT = re.compile(r"You move to the ([a-z ]+)\.")
_MOVED = re.compile(r"You (?:move|pour) the (.+) (?:to|in|into) the (.+)\.$")
_OPENED = re.compile(r"The door is (?:now|already) open")
_REFUSED = re.compile(
    r"No known action|Unknown action|It'?s not clear|Its not clear|I'm not sure|You can't|That can't be|That thing doesn't"
    r"|That container is empty|There is only one|Connections must|The door is not open"
    r"|The .*(?:not (?:something|moveable|movable|open|a container|edible|closeable|openable)|isn't open|does not contain)"
)
_READING = re.compile(r"measures a temperature of (-?\d+)")
_BREAKS = re.compile(r"[\t\n,.:()]+\s*|\bcontaining ")
_NO_NAME = re.compile(
    r"which |currently |that is |titled |nothing$|the agent$|.* (?:is|you see|closed|open)$|$", re.I
)
_NAME = re.compile(r"(?:an?|the) (?:substance called )?|substance called |", re.I)
_STATE = re.compile(r" in the \w+ stage.*| titled .*")


class Scene(NamedTuple):
    """Where an agent stands.

    Attributes:
        room: its name.
        things: what was listed in it, by name, when last looked at; empty before.
        carried: what was picked up and not put down, by name.
        open: doors known to be open, each by the two rooms it joins, in alphabetical order.
        answer: to the last command; o_0 before any.
        refused: whether the last command did nothing.
        asked: whether the simulator wants to know which of several things is meant.
    """

    room: str
    things: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    open: frozenset[tuple[str, str]] = frozenset()
    answer: str = ""
    refused: bool = False
    asked: bool = False

    def is_open(self, room: str) -> bool:
        """Whether the door from here to `room` is known to be open."""
        return _door(self.room, room) in self.open


def scene(history: History) -> Scene:
    """What the agent of h_t sees, and has."""
    seen = [*(s.observation for s in history.steps), history.observation]
    now = opening(seen[0])
    for step, answer in zip(history.steps, seen[1:], strict=True):
        now = after(now, simulator_command(step.action), answer)
    return now


def opening(observation: str) -> Scene:
    """What o_0 shows: under the task, the room."""
    _, _, look = observation.partition("\n")
    return _looked(Scene("", answer=observation), look)


def after(now: Scene, told: str, answer: str) -> Scene:
    """The scene after a command and its answer."""
    refused = bool(_REFUSED.match(answer))
    now = now._replace(answer=answer, refused=refused, asked=answer.startswith("Ambiguous request"))
    if refused or now.asked:
        return now
    if went := _WENT.match(answer):
        # A door that let us through is open from the other side too.
        return now._replace(room=went[1], things=(), open=now.open | {_door(now.room, went[1])})
    if told.startswith(("open door to ", "open ")) and _OPENED.match(answer):
        return now._replace(
            open=now.open | {_door(now.room, told.removeprefix("open ").removeprefix("door to "))}
        )
    if told.startswith("close door to ") and answer.startswith("The door is now closed"):
        return now._replace(open=now.open - {_door(now.room, told.removeprefix("close door to "))})
    if _ROOM.match(answer) and told == "look around":
        return _looked(now, answer)
    if moved := _MOVED.search(answer):
        return _moved(now, moved[1], moved[2])
    return now


def reading(answer: str) -> int | None:
    """What a thermometer says in an answer, in degrees; None if none speaks."""
    said = _READING.search(answer)
    return int(said[1]) if said else None


@lru_cache(maxsize=1 << 12)
def names(look: str) -> tuple[str, ...]:
    """The things that a look lists, those inside others too, in order; without the air and the agent."""
    _, _, listed = look.partition("see:")
    listed, _, _ = listed.partition("You also see:")
    found = (f.strip() for f in _BREAKS.split(listed))
    plain = (_STATE.sub("", f[_NAME.match(f).end() :]) for f in found if not _NO_NAME.match(f))  # type: ignore[union-attr]
    return tuple(n for n in plain if n not in ("air", "ground"))


@cache
def way(here: str, there: str) -> tuple[str, ...]:
    """The rooms to go through, `there` included, by the fewest doors; none if it is here, or there is no such room."""
    ways, seen = [(here,)], {here}
    for path in ways:
        if path[-1] == there:
            return path[1:]
        ways += [(*path, room) for room in HOUSE.get(path[-1], ()) if room not in seen]
        seen.update(HOUSE.get(path[-1], ()))
    return ()


def words(thought: str, told: str) -> str:
    """An action text: `Thought: … Action: …`, on one line, whose end the simulator is told."""
    return f"Thought: {thought} Action: {told}"


def _looked(now: Scene, look: str) -> Scene:
    room = _ROOM.match(look)
    if room is None:
        return now
    doors = {_door(room[1], other): state == "open" for other, state in _DOOR.findall(look)}
    ajar = (now.open - doors.keys()) | {door for door, is_open in doors.items() if is_open}
    return now._replace(room=room[1], things=names(look), open=frozenset(ajar))


def _moved(now: Scene, what: str, where: str) -> Scene:
    carried, things = [*now.carried], [*now.things]
    for place in (carried, things):
        if what in place:
            place.remove(what)
    (carried if where == "inventory" else things).append(what)
    return now._replace(carried=tuple(carried), things=tuple(things))


def _door(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)
