"""Skills of ScienceWorld for a base model that must know the words and not the strategy.

    room       what is to be done in a room that somebody else came to, up to the next door or lid
    errand     the walk to where the task needs something next, and a look when there
    way        the same to any room, for anything; never back
    door       which door leads where: rooms further on, any of them, never back
    find       say of many things whether the room holds them
    stated     do what the last thought announced, whatever that was
    refused    go on after something that the simulator did not take
    asked      answer it when it asks which of several things is meant

What leads to a skill's state is only read: an example trains from its `first` action on. A thought and its action are one
text here, so what no skill may teach as a choice (to come back from a wrong room, to open a container) is never decided
in a trained thought of its own: `stated` teaches it as words. To focus once more is: after nonsense, and by a number when
asked which; not after a look at what else there is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from eefcore.experts.registry import Shown
from eefcore.experts.sciworld.names import renamed
from eefcore.experts.sciworld.scene import HOUSE, way
from eefcore.experts.sciworld.scientist import Scientist
from eefcore.experts.sciworld.thoughts import nav, place, walking
from eefcore.experts.sciworld.visitor import Visitor
from eefcore.protocols import Benchmark
from eefcore.types import Example

SHARES = {
    "room": 0.34,
    "errand": 0.2,
    "way": 0.14,
    "door": 0.04,
    "find": 0.08,
    "stated": 0.12,
    "refused": 0.05,
    "asked": 0.03,
}
NAMINGS = 8
"""How often what was played is shown: once as it was, then in other names (`names.renamed`)."""

_NEEDS = ("I look for the {}", "I need the {}", "I bring the {} to the boxes", "I bring the {}")
_NONSENSE = ("focus on it", "use it", "open the way", "go home", "pick up everything", "finish", "find it")


def show(
    benchmark: Benchmark, naive: Scientist, tasks: Sequence[str], *, n: int, seed: int
) -> Iterator[Shown]:
    """`n` skills on random ones of `tasks`, in the proportions of `SHARES`, each played once and shown `NAMINGS` times.

    Task by task: what one skill sees of a world is remembered for the next, and a world takes longer to load than to use.
    """
    rng, env = random.Random(f"skills {seed}"), benchmark.make()
    known: set[str] = set()
    for i, task in enumerate(sorted(rng.choices(tasks, k=-(-n // NAMINGS)), key=tasks.index)):
        name = rng.choices(list(SHARES), list(SHARES.values()))[0]
        played = _SKILLS[name](Visitor(env, task, rng, known), naive)
        yield Shown(name, played)
        for _ in range(min(NAMINGS, n - i * NAMINGS) - 1):
            yield Shown(name, Example(renamed(played.trajectory, rng), played.first))


def _room(who: Visitor, naive: Scientist) -> Example:
    who.come(naive.plan(who.history.task_id))
    return _naively(who, naive)


def _room_again(who: Visitor, naive: Scientist) -> Example:
    """What a task has no place for is shown as `room`, from its start."""
    who.begin(who.history.task_id)
    return _room(who, naive)


def _naively(who: Visitor, naive: Scientist) -> Example:
    """What the naive scientist does until it would leave the room, or needs what is shut away."""

    def at_the_end() -> bool:
        ahead = naive.ahead(who.history)
        return not ahead or bool(nav(ahead)) or ahead.startswith("open ")

    first = len(who.history)
    while not who.done and (len(who.history) == first or not at_the_end()):
        who.tell(naive.act(who.history))
    return who.example(first, source=naive.name)


def _errand(who: Visitor, naive: Scientist) -> Example:
    """What for and where is the plan's, and so to be read from the task."""
    plan = naive.plan(who.history.task_id)
    told = plan.actions
    starts = [i for i, a in enumerate(told) if nav(a) and (i == 0 or not nav(told[i - 1]))]
    if not starts:
        return _room_again(who, naive)
    start = who.rng.choice(starts)
    end = next((i for i in range(start, len(told)) if not nav(told[i])), len(told))
    who.follow(plan, 0, start)
    first = len(who.history)
    who.follow(plan, start, end + (told[end : end + 1] == ("look around",)))
    return who.example(first, source=naive.name)


def _way(who: Visitor, naive: Scientist) -> Example:
    """What for and where is read; how to get there is trained."""
    who.wander()
    been, here = who.been, who.scene.room
    rooms = [r for r in HOUSE if r not in been and way(here, r)[0] not in been]
    if not rooms:
        return _room_again(who, naive)
    there = who.rng.choice(rooms)
    need = who.rng.choice(_NEEDS).format(who.rng.choice(sorted(who.known)))
    who.do(f"{need}, {place(there)}.", "look around")
    first = len(who.history)
    for hop in way(here, there):
        for told in (*([] if who.scene.is_open(hop) else [f"open door to {hop}"]), f"go to {hop}"):
            who.do(walking(need, hop, there, closed=told.startswith("open")), told)
    who.do(f"I am {place(there)}. {need}.", "look around")
    return who.example(first, source=naive.name)


def _door(who: Visitor, naive: Scientist) -> Example:
    who.wander()
    first = len(who.history)
    if not who.hop():
        return _room_again(who, naive)
    if who.rng.random() < 0.5:
        who.hop()
    return who.example(first, source=naive.name)


def _find(who: Visitor, naive: Scientist) -> Example:
    """As many things that are listed as things that are not.

    A small model finds out late that it must look at the listing, and not at how often it was so.
    """
    who.wander()
    who.do("I see what is here.", "look around")
    here = sorted(set(who.scene.things))
    others = sorted(who.known.difference(here))
    who.known.update(here)
    n = min(3, len(here), len(others))
    if not n:
        return _room_again(who, naive)
    asked = [*who.rng.sample(here, n), *who.rng.sample(others, n)]
    who.rng.shuffle(asked)
    first = len(who.history)
    who.do(" ".join(f"There is {'a' if x in here else 'no'} {x}." for x in asked), "look around")
    return who.example(first, source=naive.name)


def _stated(who: Visitor, naive: Scientist) -> Example:
    """The announcement is read, and what it announces is trained."""
    who.wander()
    told = who.anything()
    who.do(f"I will {told} next.", "look around")
    first = len(who.history)
    who.do("", told)
    return who.example(first, source=naive.name)


def _refused(who: Visitor, naive: Scientist) -> Example:
    who.come(naive.plan(who.history.task_id))
    who.do("", who.rng.choice(_NONSENSE))
    return _naively(who, naive)


def _asked(who: Visitor, naive: Scientist) -> Example:
    """Of two things of one name in a room, one."""
    who.wander()
    who.do("I see what is here.", "look around")
    things = who.scene.things
    twice = sorted({x for x in things if things.count(x) > 1})
    if not twice:
        return _room_again(who, naive)
    who.do("", f"{who.rng.choice(('examine', 'pick up', 'focus on'))} {who.rng.choice(twice)}")
    if who.done or not who.scene.asked:
        return _room_again(who, naive)
    first = len(who.history)
    who.do("Any of them will do.", "0")
    return who.example(first, source=naive.name)


_SKILLS: Mapping[str, Callable[[Visitor, Scientist], Example]] = {
    "room": _room,
    "errand": _errand,
    "way": _way,
    "door": _door,
    "find": _find,
    "stated": _stated,
    "refused": _refused,
    "asked": _asked,
}
