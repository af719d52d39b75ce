"""The navigation skills of ScienceWorld (`eefcore.protocols.Skill`), as Next and Back are those of a shop.

A wrong focus ends the episode, and nothing can be learnt from it. What goes wrong and can be mended is counted here:

    Return    into a room, nothing to do there, and back out to go elsewhere
    Refocus   a focus that found nothing, or several things; then one that is accepted
    Open      something closed that was in the way, or held what was needed: opened, then used

Only an action that the simulator accepted counts. A number that answers "Ambiguous request: …" is read as the choice
that it made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from eefcore.envs.sciworld.env import simulator_command
from eefcore.protocols import Skill
from eefcore.types import History

_REFUSED = re.compile(
    r"^(No known action|Unknown action|Ambiguous request|It's not clear|That can't)"
    r"|(isn't|is not|not) (open|openable|movable|moveable)\b|\b(already|cannot|can't)\b"
)
_LOOKING = frozenset(
    "look examine inventory open close go wait wait1 task help objects".split()  # which leave a room as it was
)
_ROOM = re.compile(r"^This (?:room|outside location) is called the (.+?)\. ", re.MULTILINE)
_MOVED = re.compile(r"^You move to the (.+?)\.")
_OPENED = re.compile(r"^The (.+?) is now open\.")


class CommandResult(NamedTuple):
    """A command that the simulator got, and its response."""

    command: str
    response: str

    @property
    def accepted(self) -> bool:
        """Whether the simulator carried the command out."""
        return not _REFUSED.search(self.response)

    @property
    def changes_nothing(self) -> bool:
        """Whether the command changes nothing in the world: it looks, opens, waits or walks, or was refused."""
        return not self.accepted or self.command.partition(" ")[0] in _LOOKING

    def mentions(self, thing: str) -> bool:
        """Whether the command or the response names a thing."""
        return re.search(rf"\b{re.escape(thing)}\b", f"{self.command}\n{self.response}") is not None


class RoomStay(NamedTuple):
    """A stay in a room: actions a_first … a_{last-1} happen there, and a_last, if there is one, leaves the room."""

    room: str
    first: int
    last: int


def returns(history: History) -> list[int]:
    """Find the skill Return: moves out of a room in which nothing was changed, back to the room before.

    Nothing was changed in the rooms beyond it either, or the room was on the way there. A move after which the room is
    entered again at once is no recovery, and does not count.
    """
    results, stays = list(_results(history)), _stays(history)
    moves, path = [], stays[:1]  # the path from the first room to this one, without the detours
    for i, here in enumerate(stays[1:], 1):
        if len(path) < 2 or path[-2].room != here.room:
            path.append(here)
            continue
        left = path.pop()
        entered_again = any(stay.room == left.room for stay in stays[i + 1 : i + 2])
        if all(r.changes_nothing for r in results[left.first : here.first]) and not entered_again:
            moves.append(here.first - 1)
    return moves


def refocuses(history: History) -> list[int]:
    """Find the skill Refocus: accepted `focus` commands that follow, since the last accepted one, a refused focus or one that asked which thing."""
    moves, failed = [], False
    for i, result in enumerate(_results(history)):
        if result.response.startswith("You focus on "):
            moves += [i] if failed else []
            failed = False
        elif result.command.startswith("focus"):
            failed = True
    return moves


def opens(history: History) -> list[int]:
    """Find the skill Open: a container is opened and then used, or a door that the agent walked into is opened.

    A container is used where something is put into it or taken out: an action in the same room names it, or a thing
    seen in it. All doors are closed at first, and opening one before it is walked into is ordinary walking.
    """
    results = list(_results(history))
    moves = []
    for stay in _stays(history):
        for i in range(stay.first, min(stay.last, len(results))):
            if not (opened := _OPENED.match(results[i].response)):
                continue
            before, after = results[stay.first : i], results[i + 1 : stay.last]
            if opened[1] == "door":
                left = stay.last < len(results)
                useful = left and any(r.response.startswith("The door is not open") for r in before)
            else:
                useful = _used(opened[1], after)
            moves += [i] if useful else []
    return moves


def _used(container: str, after: list[CommandResult]) -> bool:
    """Whether one of the later commands changes something with the container, or with a thing seen in it."""
    things = {container}
    for result in after:
        if not result.changes_nothing and any(map(result.mentions, things)):
            return True
        things |= set(_contents(container, result.response))
    return False


def _contents(container: str, response: str) -> Iterator[str]:
    """Yield the names of the things in `container`, as a look at the room lists them."""
    for listed in re.findall(
        rf"In the {re.escape(container)} is: (.*)|Inside the {re.escape(container)} is: \n((?:\t.*\n?)*)",
        response,
    ):
        for phrase in re.split(r"[\n,().]|containing", "".join(listed)):
            name = re.sub(r"^(?:(?:an?|the|some|substance called) )+", "", phrase.strip())
            if name and name != "nothing":
                yield name


def _results(history: History) -> Iterator[CommandResult]:
    """Yield the commands and their responses; a number stands for the command that it chooses."""
    responses = [*(s.observation for s in history.steps), history.observation][1:]
    for step, response in zip(history.steps, responses, strict=True):
        command = simulator_command(step.action).lower()
        chosen = (
            re.search(rf"^{command}:\t(.*)", step.observation, re.MULTILINE) if command.isdecimal() else None
        )
        yield CommandResult(chosen[1] if chosen else command, response)


def _stays(history: History) -> list[RoomStay]:
    """Return every stay in a room, in order."""
    first = _ROOM.search(history.steps[0].observation if history.steps else history.observation)
    rooms, starts = [first[1] if first else ""], [0]
    for i, result in enumerate(_results(history)):
        if moved := _MOVED.match(result.response):
            rooms.append(moved[1])
            starts.append(i + 1)
    ends = [*(start - 1 for start in starts[1:]), len(history)]
    return [RoomStay(*stay) for stay in zip(rooms, starts, ends, strict=True)]


SKILLS: Mapping[str, Skill] = {"Return": returns, "Refocus": refocuses, "Open": opens}
