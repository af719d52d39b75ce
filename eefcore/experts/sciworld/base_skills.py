"""Base skills of ScienceWorld: what a tiny base is pretrained on, so that it knows the words and not the strategy.

    room       do what is to be done in a room that somebody else came to, up to the next door or lid
    errand     walk to where the task needs something next, and look around there
    way        walk to any room, for anything; never back
    door       which door leads where: to rooms further on, any of them, never back
    find       say of many things whether the room holds them
    stated     do what the last thought announced, whatever that was
    refused    go on after a command that the simulator did not take
    asked      answer the simulator when it asks which of several things is meant

An example trains from its `first` action on; what leads there is only read. A thought and its action are one text here,
so what no skill may teach as a choice (to come back from a wrong room, to open a container) is never decided in a trained
thought of its own: `stated` teaches it as words. To focus once more is: after nonsense, and by a number when asked which;
not after a look at what else there is.

Each episode is shown several times, with other names for things of a kind (`rename_things`): seven hundred tasks are few
enough to be learnt by heart, and with other names a dialogue can only be followed by reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random

from eefcore.envs.sciworld import SciWorldBenchmark
from eefcore.experts.base_skills import (
    SkillEpisode,
    SkillExample,
    draw_skill,
    permute_names,
    rewrite_trajectory,
)
from eefcore.experts.sciworld.scene import HOUSE, Scene, action_text, read_scene, route
from eefcore.experts.sciworld.scientist import Scientist, go_to, make_scientist
from eefcore.experts.sciworld.thoughts import Plan, conclude, destination, location, thought, walking_reason
from eefcore.protocols import Environment
from eefcore.types import Example, Trajectory

NAMINGS = 8
"""How often each episode is shown: once as it was played, then with other names."""

_NEEDS = ("I look for the {}", "I need the {}", "I bring the {} to the boxes", "I bring the {}")
_NONSENSE = ("focus on it", "use it", "open the way", "go home", "pick up everything", "finish", "find it")


def base_skill_examples(
    benchmark: SciWorldBenchmark, tasks: Iterable[str], *, n: int, seed: int
) -> Iterator[SkillExample]:
    """Yield `n` examples of base skills on random ones of `tasks`, in the proportions of `SHARES`.

    Each episode is played once and shown `NAMINGS` times. They come task by task: what one episode sees of a world is
    remembered for the next, and a world takes longer to load than to use.
    """
    rng, env, tasks = Random(f"skills {seed}"), benchmark.make(), [*tasks]
    naive = make_scientist(benchmark, "naive")
    seen_things: set[str] = set()
    for i, task in enumerate(sorted(rng.choices(tasks, k=-(-n // NAMINGS)), key=tasks.index)):
        name = draw_skill(SHARES, rng)
        _, skill = _SKILLS[name]
        episode = HouseEpisode(env, task, naive, rng, seen_things)
        played = skill(episode)
        if played is None:
            episode.restart(task)
            played = _room(episode)
        yield SkillExample(name, played)
        for _ in range(min(NAMINGS, n - i * NAMINGS) - 1):
            yield SkillExample(name, Example(rename_things(played.trajectory, rng), played.first))


class HouseEpisode(SkillEpisode[Scientist]):
    """An episode in ScienceWorld's house, every action with a thought.

    Attributes:
        seen_things: names of things that were listed in any task so far.
    """

    def __init__(
        self, env: Environment, task: str, naive: Scientist, rng: Random, seen_things: set[str]
    ) -> None:
        super().__init__(env, task, naive, rng)
        self.seen_things = seen_things
        seen_things.update(self.scene.things)

    @property
    def scene(self) -> Scene:
        """The scene at h_t."""
        return read_scene(self.history)

    @property
    def plan(self) -> Plan:
        """The naive scientist's plan of the task."""
        return self.naive.plan(self.history.task_id)

    @property
    def visited_rooms(self) -> set[str]:
        """The rooms that the episode has been in, the present one among them."""
        return {read_scene(self.history.at(i)).room for i in range(len(self.history) + 1)}

    def do(self, reason: str, command: str) -> None:
        """Give a command, after a thought that says the reason, which may be empty."""
        self.act(action_text(conclude(reason, command=command), command))

    def follow(self, start: int, end: int) -> None:
        """Take the plan's actions from index `start` up to, not including, `end`."""
        for i, command in enumerate(self.plan.actions[start:end], start):
            self.act(action_text(thought(self.plan, i, command, self.scene), command))

    def go_to_a_task_room(self) -> None:
        """Follow the plan to a random room in which it does something."""
        commands = self.plan.actions
        arrivals = [
            i
            for i, command in enumerate(commands)
            if not destination(command)
            and not command.startswith("open ")
            and (i == 0 or destination(commands[i - 1]))
        ]
        self.follow(0, self.rng.choice(arrivals or [0]))

    def wander(self) -> None:
        """Go through no, one or two doors."""
        for _ in range(self.rng.choice((0, 0, 1, 1, 2))):
            self.enter_a_new_room()

    def enter_a_new_room(self) -> bool:
        """Go through a random door to a room not yet visited; return False where there is none."""
        scene = self.scene
        rooms = [r for r in HOUSE[scene.room] if r not in self.visited_rooms]
        if not rooms:
            return False
        room = self.rng.choice(rooms)
        for command in go_to(room, scene):
            closed = " The door is closed." if command.startswith("open") else ""
            self.do(f"I go to the {room}.{closed}", command)
        return True

    def any_command(self) -> str:
        """Return a random sensible command, whether it helps or not; none that could end the episode."""
        scene = self.scene
        room = self.rng.choice(HOUSE[scene.room])
        commands = [f"open door to {room}", f"go to {room}", "wait1"]
        if scene.things:
            thing, other = self.rng.choice(scene.things), self.rng.choice(scene.things)
            commands += [f"{verb} {thing}" for verb in ("open", "pick up", "examine", "activate", "mix")]
            commands += [f"move {thing} to {other}", f"pour {thing} in {other}"]
        return self.rng.choice(commands)

    def finish_in_room(self) -> Example:
        """Do what the naive scientist does until it would leave the room, or needs what is in something closed."""
        first = len(self.history)
        while not self.done:
            command = self.naive.next_step(self.history)
            ends = not command or destination(command) or command.startswith("open ")
            if ends and len(self.history) > first:
                break
            self.act_naively()
        return self.example(first)


# The skills; None where the task has no occasion for one, and `room` is shown instead ------------------------


def _room(episode: HouseEpisode) -> Example:
    episode.go_to_a_task_room()
    return episode.finish_in_room()


def _errand(episode: HouseEpisode) -> Example | None:
    """Show an errand: its purpose and its room come from the plan, so the model has to read them from the task."""
    commands = episode.plan.actions
    departures = [
        i for i, c in enumerate(commands) if destination(c) and (i == 0 or not destination(commands[i - 1]))
    ]
    if not departures:
        return None
    start = episode.rng.choice(departures)
    end = next((i for i in range(start, len(commands)) if not destination(commands[i])), len(commands))
    episode.follow(0, start)
    first = len(episode.history)
    episode.follow(start, end + (commands[end : end + 1] == ("look around",)))
    return episode.example(first)


def _way(episode: HouseEpisode) -> Example | None:
    """Show the way to a room: the purpose and the room are given, and the route is trained."""
    episode.wander()
    visited, here = episode.visited_rooms, episode.scene.room
    rooms = [r for r in HOUSE if r not in visited and route(here, r)[0] not in visited]
    if not rooms:
        return None
    goal = episode.rng.choice(rooms)
    need = episode.rng.choice(_NEEDS).format(episode.rng.choice(sorted(episode.seen_things)))
    episode.do(f"{need}, {location(goal)}.", "look around")
    first = len(episode.history)
    for room in route(here, goal):
        for command in go_to(room, episode.scene):
            reason = walking_reason(need, room, goal, closed=command.startswith("open"))
            episode.do(reason, command)
    episode.do(f"I am {location(goal)}. {need}.", "look around")
    return episode.example(first)


def _door(episode: HouseEpisode) -> Example | None:
    episode.wander()
    first = len(episode.history)
    if not episode.enter_a_new_room():
        return None
    if episode.rng.random() < 0.5:
        episode.enter_a_new_room()
    return episode.example(first)


def _find(episode: HouseEpisode) -> Example | None:
    """Show whether a thing is in the room: half of the questions are about listed things, half about others.

    A small model finds out late that it must look at the listing, and not at how often the answer was yes.
    """
    episode.wander()
    episode.do("I see what is here.", "look around")
    here = sorted(set(episode.scene.things))
    others = sorted(episode.seen_things.difference(here))
    episode.seen_things.update(here)
    n = min(3, len(here), len(others))
    if not n:
        return None
    things = [*episode.rng.sample(here, n), *episode.rng.sample(others, n)]
    episode.rng.shuffle(things)
    first = len(episode.history)
    episode.do(" ".join(f"There is {'a' if x in here else 'no'} {x}." for x in things), "look around")
    return episode.example(first)


def _stated(episode: HouseEpisode) -> Example:
    """Show a command that was announced before: the announcement is given, and the command is trained."""
    episode.wander()
    command = episode.any_command()
    episode.do(f"I will {command} next.", "look around")
    first = len(episode.history)
    episode.do("", command)
    return episode.example(first)


def _refused(episode: HouseEpisode) -> Example:
    episode.go_to_a_task_room()
    episode.do("", episode.rng.choice(_NONSENSE))
    return episode.finish_in_room()


def _asked(episode: HouseEpisode) -> Example | None:
    """Show the answer to the simulator's question which of two things of one name is meant."""
    episode.wander()
    episode.do("I see what is here.", "look around")
    things = episode.scene.things
    twice = sorted({x for x in things if things.count(x) > 1})
    if not twice:
        return None
    verb = episode.rng.choice(("examine", "pick up", "focus on"))
    episode.do("", f"{verb} {episode.rng.choice(twice)}")
    if episode.done or not episode.scene.ambiguous:
        return None
    first = len(episode.history)
    episode.do("Any of them will do.", "0")
    return episode.example(first)


_SKILLS: Mapping[str, tuple[float, Callable[[HouseEpisode], Example | None]]] = {
    "room": (0.34, _room),
    "errand": (0.2, _errand),
    "way": (0.14, _way),
    "door": (0.04, _door),
    "find": (0.08, _find),
    "stated": (0.12, _stated),
    "refused": (0.05, _refused),
    "asked": (0.03, _asked),
}
SHARES = {name: share for name, (share, _) in _SKILLS.items()}


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


def rename_things(trajectory: Trajectory, rng: Random) -> Trajectory:
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
