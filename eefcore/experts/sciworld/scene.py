"""Read a ScienceWorld dialogue back into what the agent knows of the house: the room, the things, the doors."""

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
    """What an agent knows at a state.

    Attributes:
        room: the room it is in.
        things: names of what was listed in the room when last looked at; empty before.
        carried: names of what was picked up and not put down.
        open: doors known to be open, each by the two rooms that it joins, in alphabetical order.
        answer: the answer to the last command; o_0 before any.
        refused: whether the last command did nothing.
        ambiguous: whether the simulator asks which of several things is meant.
    """

    room: str
    things: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    open: frozenset[tuple[str, str]] = frozenset()
    answer: str = ""
    refused: bool = False
    ambiguous: bool = False

    def is_open(self, room: str) -> bool:
        """Return whether the door from here to `room` is known to be open."""
        return _door(self.room, room) in self.open


def read_scene(history: History) -> Scene:
    """Return the scene at h_t."""
    observations = [*(s.observation for s in history.steps), history.observation]
    scene = first_scene(observations[0])
    for step, answer in zip(history.steps, observations[1:], strict=True):
        scene = next_scene(scene, simulator_command(step.action), answer)
    return scene


def first_scene(observation: str) -> Scene:
    """Return the scene that o_0 shows: under the task, the room."""
    _, _, look = observation.partition("\n")
    return _after_look(Scene("", answer=observation), look)


def next_scene(scene: Scene, command: str, answer: str) -> Scene:
    """Return the scene after a command and its answer."""
    refused = bool(_REFUSED.match(answer))
    scene = scene._replace(answer=answer, refused=refused, ambiguous=answer.startswith("Ambiguous request"))
    if refused or scene.ambiguous:
        return scene
    if went := _WENT.match(answer):
        # A door that let us through is open from the other side too.
        return scene._replace(room=went[1], things=(), open=scene.open | {_door(scene.room, went[1])})
    if command.startswith(("open door to ", "open ")) and _OPENED.match(answer):
        room = command.removeprefix("open ").removeprefix("door to ")
        return scene._replace(open=scene.open | {_door(scene.room, room)})
    if command.startswith("close door to ") and answer.startswith("The door is now closed"):
        room = command.removeprefix("close door to ")
        return scene._replace(open=scene.open - {_door(scene.room, room)})
    if _ROOM.match(answer) and command == "look around":
        return _after_look(scene, answer)
    if moved := _MOVED.search(answer):
        return _after_move(scene, moved[1], moved[2])
    return scene


def thermometer_reading(answer: str) -> int | None:
    """Return the degrees that a thermometer shows in an answer; None if none is read."""
    reading = _READING.search(answer)
    return int(reading[1]) if reading else None


@lru_cache(maxsize=1 << 12)
def listed_things(look: str) -> tuple[str, ...]:
    """Return the names of things that a look lists, in order, those inside others too; without the air and the agent."""
    _, _, listed = look.partition("see:")
    listed, _, _ = listed.partition("You also see:")
    parts = (part.strip() for part in _BREAKS.split(listed))
    names = (
        _STATE.sub("", part[article.end() :])
        for part in parts
        if not _NO_NAME.match(part) and (article := _NAME.match(part))
    )
    return tuple(n for n in names if n not in ("air", "ground"))


@cache
def route(start: str, goal: str) -> tuple[str, ...]:
    """Return the rooms to go through, `goal` included, by the fewest doors; none if it is `start`, or is no room."""
    paths: list[tuple[str, ...]] = [(start,)]
    reached = {start}
    for path in paths:
        if path[-1] == goal:
            return path[1:]
        paths += [(*path, room) for room in HOUSE.get(path[-1], ()) if room not in reached]
        reached.update(HOUSE.get(path[-1], ()))
    return ()


def action_text(thought: str, command: str) -> str:
    """Return an action: `Thought: … Action: …` on one line, of which the simulator gets the command at the end."""
    return f"Thought: {thought} Action: {command}"


def _after_look(scene: Scene, look: str) -> Scene:
    room = _ROOM.match(look)
    if room is None:
        return scene
    doors = {_door(room[1], other): state == "open" for other, state in _DOOR.findall(look)}
    is_open = (scene.open - doors.keys()) | {door for door, door_is_open in doors.items() if door_is_open}
    return scene._replace(room=room[1], things=listed_things(look), open=frozenset(is_open))


def _after_move(scene: Scene, thing: str, place: str) -> Scene:
    carried, things = [*scene.carried], [*scene.things]
    for names in (carried, things):
        if thing in names:
            names.remove(thing)
    (carried if place == "inventory" else things).append(thing)
    return scene._replace(carried=tuple(carried), things=tuple(things))


def _door(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)
