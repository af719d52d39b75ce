"""Navigation skills of ScienceWorld (`eefcore.protocols.Skill`), as Next and Back are a shop's.

An expert's failure is worth exploring where an agent learns to come out of it, and a wrong focus can't be come out
of: it ends the episode. What does go wrong and can be mended is counted here, by what was done and what was seen:

    Return    into a room, nothing to do there, and back out to go elsewhere
    Refocus   a focus that found nothing, or too much; then one that takes
    Open      what was shut and in the way or held what was needed: opened, then used

Only an action that the simulator took counts. A number that answers "Ambiguous request: …" is read as what it chose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from eefcore.envs.sciworld.env import command
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


class Deed(NamedTuple):
    """What was told to the simulator, and what it answered."""

    told: str
    answer: str

    @property
    def took(self) -> bool:
        """Whether anything came of it."""
        return not _REFUSED.search(self.answer)

    @property
    def looking(self) -> bool:
        """Whether it leaves things as they are: looking, opening, waiting, walking; or it was refused."""
        return not self.took or self.told.partition(" ")[0] in _LOOKING

    def names(self, thing: str) -> bool:
        """Whether it was done with a thing of that name, or the answer says so."""
        return re.search(rf"\b{re.escape(thing)}\b", f"{self.told}\n{self.answer}") is not None


class Visit(NamedTuple):
    """A stay in a room: a_first … a_{last-1} were done there, and a_last, if there is one, led out."""

    room: str
    first: int
    last: int


def returns(history: History) -> list[int]:
    """The moves out of a room in which nothing was done but look, back to where it was entered from.

    Nothing was done beyond it, either, or it was on the way. Going in again next is no recovery, and does not count.
    """
    deeds, stays = list(_deeds(history)), _visits(history)
    out, way = [], stays[:1]  # the rooms from the first to here, less the detours
    for i, here in enumerate(stays[1:], 1):
        if len(way) < 2 or way[-2].room != here.room:
            way.append(here)
            continue
        left = way.pop()
        in_again = any(stay.room == left.room for stay in stays[i + 1 : i + 2])
        if all(d.looking for d in deeds[left.first : here.first]) and not in_again:
            out.append(here.first - 1)
    return out


def refocuses(history: History) -> list[int]:
    """The foci that take after one since the last was refused, or asked which thing was meant."""
    out, failed = [], False
    for i, deed in enumerate(_deeds(history)):
        if deed.answer.startswith("You focus on "):
            out += [i] if failed else []
            failed = False
        elif deed.told.startswith("focus"):
            failed = True
    return out


def opens(history: History) -> list[int]:
    """The openings of what was in the way: of a container that is then used, of a door that was walked into.

    A container is used where something is put into it or taken out: an action in the same room names it, or a thing
    seen in it. Doors are all closed at first, and opening one before it is walked into is no more than walking.
    """
    deeds = list(_deeds(history))
    out = []
    for stay in _visits(history):
        for i in range(stay.first, min(stay.last, len(deeds))):
            if not (opened := _OPENED.match(deeds[i].answer)):
                continue
            before, after = deeds[stay.first : i], deeds[i + 1 : stay.last]
            if opened[1] == "door":
                left = stay.last < len(deeds)
                useful = left and any(d.answer.startswith("The door is not open") for d in before)
            else:
                useful = _used(opened[1], after)
            out += [i] if useful else []
    return out


def _used(container: str, after: list[Deed]) -> bool:
    things = {container}
    for deed in after:
        if not deed.looking and any(map(deed.names, things)):
            return True
        things |= set(_inside(container, deed.answer))
    return False


def _inside(container: str, seen: str) -> Iterator[str]:
    """Names of what a look shows in `container`."""
    for listed in re.findall(
        rf"In the {re.escape(container)} is: (.*)|Inside the {re.escape(container)} is: \n((?:\t.*\n?)*)",
        seen,
    ):
        for phrase in re.split(r"[\n,().]|containing", "".join(listed)):
            name = re.sub(r"^(?:(?:an?|the|some|substance called) )+", "", phrase.strip())
            if name and name != "nothing":
                yield name


def _deeds(history: History) -> Iterator[Deed]:
    """What was done, a number read as the choice it made."""
    answers = [*(s.observation for s in history.steps), history.observation][1:]
    for step, answer in zip(history.steps, answers, strict=True):
        told = command(step.action).lower()
        chosen = re.search(rf"^{told}:\t(.*)", step.observation, re.MULTILINE) if told.isdecimal() else None
        yield Deed(chosen[1] if chosen else told, answer)


def _visits(history: History) -> list[Visit]:
    """Every stay in a room, in order."""
    first = _ROOM.search(history.steps[0].observation if history.steps else history.observation)
    rooms, starts = [first[1] if first else ""], [0]
    for i, deed in enumerate(_deeds(history)):
        if moved := _MOVED.match(deed.answer):
            rooms.append(moved[1])
            starts.append(i + 1)
    ends = [*(start - 1 for start in starts[1:]), len(history)]
    return [Visit(*visit) for visit in zip(rooms, starts, ends, strict=True)]


SKILLS: Mapping[str, Skill] = {"Return": returns, "Refocus": refocuses, "Open": opens}
