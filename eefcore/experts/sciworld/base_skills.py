"""Base skills of ScienceWorld: what a tiny base is pretrained on, so that it knows the words and not the strategy.

    room       do what is to be done in a room that somebody else came to, up to the next door or lid
    errand     walk to where the task needs something next, and look around there
    way        walk to any room, for anything; never back
    door       which door leads where: to rooms further on, any of them, never back
    find       say of many things whether the room holds them
    stated     do what the last thought announced, whatever that was
    refused    go on after a command that the simulator did not take
    asked      answer the simulator when it asks which of several things is meant

The actions that lead to a skill's state are only read: an example trains from its `first` action on. A thought and its
action are one text here, so what no skill may teach as a choice (to come back from a wrong room, to open a container)
is never decided in a trained thought of its own: `stated` teaches it as words. To focus once more is: after nonsense,
and by a number when asked which; not after a look at what else there is. These are not the navigation skills that EEF
counts (`evaluation.navigation`).

Each episode is shown several times, with other names for things of a kind (`rename_things`). Seven hundred tasks are few
enough to be learnt by heart, box by box. With other names the same dialogue can only be followed by reading: which box,
bulb, animal, flower pot or room off the hallway is what the page and the task say, and nothing else.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from eefcore.experts.registry import SkillExample, permute_names, rewrite_trajectory
from eefcore.experts.sciworld.scene import HOUSE, route
from eefcore.experts.sciworld.scientist import Scientist
from eefcore.experts.sciworld.skill_episode import SkillEpisode
from eefcore.experts.sciworld.thoughts import destination, location, walking_reason
from eefcore.protocols import Benchmark
from eefcore.types import Example, Trajectory

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
"""How often each episode is shown: once as it was played, then with other names."""

_NEEDS = ("I look for the {}", "I need the {}", "I bring the {} to the boxes", "I bring the {}")
_NONSENSE = ("focus on it", "use it", "open the way", "go home", "pick up everything", "finish", "find it")


def base_skill_examples(
    benchmark: Benchmark, naive: Scientist, tasks: Sequence[str], *, n: int, seed: int
) -> Iterator[SkillExample]:
    """Yield `n` examples of base skills on random ones of `tasks`, in the proportions of `SHARES`.

    Each episode is played once and shown `NAMINGS` times. They come task by task: what one episode sees of a world is
    remembered for the next, and a world takes longer to load than to use.
    """
    rng, env = random.Random(f"skills {seed}"), benchmark.make()
    known_things: set[str] = set()
    for i, task in enumerate(sorted(rng.choices(tasks, k=-(-n // NAMINGS)), key=tasks.index)):
        name = rng.choices(list(SHARES), list(SHARES.values()))[0]
        played = _SKILLS[name](SkillEpisode(env, task, rng, known_things), naive)
        yield SkillExample(name, played)
        for _ in range(min(NAMINGS, n - i * NAMINGS) - 1):
            yield SkillExample(name, Example(rename_things(played.trajectory, rng), played.first))


# The skills --------------------------------------------------------------------------------------------------


def _room(episode: SkillEpisode, naive: Scientist) -> Example:
    episode.go_to_a_task_room(naive.plan(episode.history.task_id))
    return _act_naively(episode, naive)


def _room_instead(episode: SkillEpisode, naive: Scientist) -> Example:
    """Show `room` from the start of the task, where the task has no occasion for the skill that was drawn."""
    episode.restart(episode.history.task_id)
    return _room(episode, naive)


def _act_naively(episode: SkillEpisode, naive: Scientist) -> Example:
    """Do what the naive scientist does until it would leave the room, or needs what is in something closed."""

    def at_the_end() -> bool:
        command = naive.next_step(episode.history)
        return not command or bool(destination(command)) or command.startswith("open ")

    first = len(episode.history)
    while not episode.done and (len(episode.history) == first or not at_the_end()):
        episode.act(naive.act(episode.history))
    return episode.example(first, source=naive.name)


def _errand(episode: SkillEpisode, naive: Scientist) -> Example:
    """What for and where to is the plan's, and so has to be read from the task."""
    plan = naive.plan(episode.history.task_id)
    commands = plan.actions
    departures = [
        i for i, c in enumerate(commands) if destination(c) and (i == 0 or not destination(commands[i - 1]))
    ]
    if not departures:
        return _room_instead(episode, naive)
    start = episode.rng.choice(departures)
    end = next((i for i in range(start, len(commands)) if not destination(commands[i])), len(commands))
    episode.follow(plan, 0, start)
    first = len(episode.history)
    episode.follow(plan, start, end + (commands[end : end + 1] == ("look around",)))
    return episode.example(first, source=naive.name)


def _way(episode: SkillEpisode, naive: Scientist) -> Example:
    """What for and where to is read; how to get there is trained."""
    episode.wander()
    visited, here = episode.visited_rooms, episode.scene.room
    rooms = [r for r in HOUSE if r not in visited and route(here, r)[0] not in visited]
    if not rooms:
        return _room_instead(episode, naive)
    there = episode.rng.choice(rooms)
    need = episode.rng.choice(_NEEDS).format(episode.rng.choice(sorted(episode.known_things)))
    episode.do(f"{need}, {location(there)}.", "look around")
    first = len(episode.history)
    for room in route(here, there):
        opening = [] if episode.scene.is_open(room) else [f"open door to {room}"]
        for command in (*opening, f"go to {room}"):
            reason = walking_reason(need, room, there, closed=command.startswith("open"))
            episode.do(reason, command)
    episode.do(f"I am {location(there)}. {need}.", "look around")
    return episode.example(first, source=naive.name)


def _door(episode: SkillEpisode, naive: Scientist) -> Example:
    episode.wander()
    first = len(episode.history)
    if not episode.enter_a_new_room():
        return _room_instead(episode, naive)
    if episode.rng.random() < 0.5:
        episode.enter_a_new_room()
    return episode.example(first, source=naive.name)


def _find(episode: SkillEpisode, naive: Scientist) -> Example:
    """Ask about as many things that are listed as things that are not.

    A small model finds out late that it must look at the listing, and not at how often the answer was yes.
    """
    episode.wander()
    episode.do("I see what is here.", "look around")
    here = sorted(set(episode.scene.things))
    others = sorted(episode.known_things.difference(here))
    episode.known_things.update(here)
    n = min(3, len(here), len(others))
    if not n:
        return _room_instead(episode, naive)
    asked = [*episode.rng.sample(here, n), *episode.rng.sample(others, n)]
    episode.rng.shuffle(asked)
    first = len(episode.history)
    episode.do(" ".join(f"There is {'a' if x in here else 'no'} {x}." for x in asked), "look around")
    return episode.example(first, source=naive.name)


def _stated(episode: SkillEpisode, naive: Scientist) -> Example:
    """The announcement is read, and the announced command is trained."""
    episode.wander()
    command = episode.any_command()
    episode.do(f"I will {command} next.", "look around")
    first = len(episode.history)
    episode.do("", command)
    return episode.example(first, source=naive.name)


def _refused(episode: SkillEpisode, naive: Scientist) -> Example:
    episode.go_to_a_task_room(naive.plan(episode.history.task_id))
    episode.do("", episode.rng.choice(_NONSENSE))
    return _act_naively(episode, naive)


def _asked(episode: SkillEpisode, naive: Scientist) -> Example:
    """Choose one of two things of the same name in a room."""
    episode.wander()
    episode.do("I see what is here.", "look around")
    things = episode.scene.things
    twice = sorted({x for x in things if things.count(x) > 1})
    if not twice:
        return _room_instead(episode, naive)
    verb = episode.rng.choice(("examine", "pick up", "focus on"))
    episode.do("", f"{verb} {episode.rng.choice(twice)}")
    if episode.done or not episode.scene.ambiguous:
        return _room_instead(episode, naive)
    first = len(episode.history)
    episode.do("Any of them will do.", "0")
    return episode.example(first, source=naive.name)


_SKILLS: Mapping[str, Callable[[SkillEpisode, Scientist], Example]] = {
    "room": _room,
    "errand": _errand,
    "way": _way,
    "door": _door,
    "find": _find,
    "stated": _stated,
    "refused": _refused,
    "asked": _asked,
}


# Other names -------------------------------------------------------------------------------------------------

_COLOURS = {
    "box": "blue green yellow orange purple red",
    "light bulb": "red green violet blue yellow orange",
    "wire": "black orange red blue green yellow",
}
_HATCHED = "giant tortoise|butterfly|parrot|turtle|dove|crocodile|chameleon|blue jay".split("|")
_BORN = "wolf|ant|rabbit|chipmunk|elephant|brown bear|dragonfly|hedgehog|beaver|mouse".split("|")
_ROOMS = "art studio|bedroom|living room|workshop".split("|")  # one door each, to the hallway
_TREES = "apple cherry peach banana lemon avocado".split()

_KINDS: tuple[tuple[str, Sequence[str]], ...] = (
    *((rf"\b(?:{{}})(?= {thing}\b)", colours.split()) for thing, colours in _COLOURS.items()),
    (r"\b(?:{})(?= tree\b)", _TREES),
    (r"\b(?:{})\b", _ROOMS),
    (r"(?<=flower pot )(?:{})\b", list("123456789")),
    (r"(?<=unknown substance )(?:{})\b", list("BCDEFGHIJKLMNOPQRSTUVWXYZ")),
)
_ANIMALS = ((r"\b(?:{})\b", _HATCHED), (r"\b(?:{})\b", _BORN))
"""Not renamed in tasks about life spans, where the name is what there is to know."""


def rename_things(trajectory: Trajectory, rng: random.Random) -> Trajectory:
    """Return the trajectory with the names of each kind of thing permuted, in every observation and action."""
    instruction = trajectory.history.at(0).observation
    kinds = _KINDS if "life s" in instruction else (*_KINDS, *_ANIMALS)
    permutations = [(_any_of(pattern, names), permute_names(names, rng)) for pattern, names in kinds]

    def rename(text: str) -> str:
        for pattern, new_name in permutations:
            text = pattern.sub(lambda found, new=new_name: new[found[0]], text)
        return text

    return rewrite_trajectory(trajectory, rename)


def _any_of(pattern: str, names: Sequence[str]) -> re.Pattern[str]:
    return re.compile(pattern.format("|".join(sorted(names, key=len, reverse=True))))
