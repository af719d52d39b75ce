"""What the simulator's own rule-based agent does in a task, in words that can be read in what it sees.

Gold      its actions and what it sees, up to the win
Golds     task id -> Gold, made when first asked (a second or so each) and kept in the user's cache

The agent knows the world from within: it says `focus on egg turtle` of what is listed as `a turtle egg`, opens doors
that are open, takes what it has not looked for, and goes on when all is done. Here things are called as they are listed
wherever the simulator then answers the same, a room is looked at before anything in it is used, and what changes
nothing is left out. If the task is not won so, the agent's own words stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from eefcore.envs.sciworld.benchmark import SciWorldBenchmark
from eefcore.envs.sciworld.jvm import simulator_version
from eefcore.envs.sciworld.simulator import Response
from eefcore.envs.sciworld.simulator_pool import ResponseCache, SimulatorPool, SimulatorState
from eefcore.envs.sciworld.tasks import Task
from eefcore.experts.sciworld.scene import Scene, after, opening
from eefcore.storage.disk import write_atomically
from eefcore.storage.hashing import cache_folder

FORM = 1
"""Raised when a change here changes what is kept on disk."""

Look = Callable[[Sequence[str]], Response]
"""What is seen after these commands."""


class Gold(msgspec.Struct, frozen=True):
    """A way through a task: T actions, T + 1 observations from o_0 on, and whether it wins (99.4 % do)."""

    actions: tuple[str, ...]
    observations: tuple[str, ...]
    won: bool


class Golds(dict[str, Gold]):
    """Task id to its gold, worked out when first asked. On disk by task id, which holds the simulator's version."""

    def __init__(self, benchmark: SciWorldBenchmark) -> None:
        super().__init__()
        self._benchmark = benchmark
        self._folder = cache_folder() / "sciworld" / f"{simulator_version()}-gold-{FORM}"

    def __missing__(self, task_id: str) -> Gold:
        file = self._folder / f"{task_id}.json"
        try:
            self[task_id] = msgspec.json.decode(file.read_bytes(), type=Gold)
        except (OSError, msgspec.DecodeError):
            self[task_id] = gold(self._benchmark.simulators, self._benchmark.goal(task_id))
            write_atomically(file, msgspec.json.encode(self[task_id]), sync=False)
        return self[task_id]


def gold(simulators: SimulatorPool, task: Task) -> Gold:
    """The gold of a task, asked of the simulator.

    Raises:
        SimulatorError: it can't be started, or has ended.
    """
    memory = ResponseCache()

    def look(commands: Sequence[str]) -> Response:
        return simulators.response(SimulatorState(task, tuple(commands)), memory)

    told = simulators.gold(task)
    raw = _played(look, told)
    plain = _plain(look, raw)
    return plain if plain.won or not raw.won else raw


def _played(look: Look, told: Sequence[str]) -> Gold:
    """The commands as they are, up to the win."""
    seen = [look(())]
    for i in range(len(told)):
        seen.append(look(told[: i + 1]))
        if seen[-1].completed or seen[-1].score < 0:
            break
    return _gold(told[: len(seen) - 1], seen)


def _plain(look: Look, raw: Gold) -> Gold:
    """`raw` without what changes nothing, in the words of the listings."""
    told: list[str] = []
    seen = [look(())]
    there = here = opening(raw.observations[0])  # as the agent went through it, and as we do
    focused = ""
    for command, answer in zip(raw.actions, raw.observations[1:], strict=True):
        before, there = there, after(there, command, answer)
        looked = here.things and (not told or told[-1] == "look around")
        if _idle(command, answer, before) or (looked and command == "look around"):
            continue
        if not here.things and _ON_WHAT_IS_HERE.match(command):  # it takes no time
            told.append("look around")
            seen.append(look(told))
            here = after(here, told[-1], seen[-1].observation)
        for candidate in (*_candidates(command, answer, (focused, *here.carried, *here.things)), command):
            got = look([*told, candidate])
            if got.observation == answer:
                break
        told.append(candidate)
        seen.append(got)
        here = after(here, candidate, got.observation)
        if focus := re.match(r"You focus on the (.+)\.$", got.observation):
            focused = focus[1]
        if got.completed or got.score < 0:
            break
    return _gold(told, seen)


def _gold(told: Sequence[str], seen: Sequence[Response]) -> Gold:
    won = seen[-1].completed and seen[-1].score == 100
    return Gold(tuple(told), tuple(s.observation for s in seen), won)


def _idle(command: str, answer: str, before: Scene) -> bool:
    """Whether a command of the agent's did nothing."""
    if re.match(r"The .+ is already |You can't move something into itself", answer):
        return True
    taken = re.match(r"You move the (.+) to the inventory\.", answer)
    return bool(taken) and command.startswith("pick up ") and before.carried.count(taken[1]) > 0


_ON_WHAT_IS_HERE = re.compile(
    r"(?:focus on|pick up|open|connect|pour|activate) (?!door to )(?!.* in inventory)"
)
_VERBS = re.compile(
    r"(focus on|pick up|drop|examine|activate|deactivate|mix|read|eat|open|use thermometer in inventory on) (?!door to)(.+)$"
)
_TWO = re.compile(r"(move|pour) (.+) (to|into|in) (.+)$")
_CONNECTED = re.compile(r"([\w ]+) on ([\w -]+) is now connected to ([\w ]+) on ([\w -]+)$")
_ANSWERED = re.compile(
    r"You (?:focus on|move|pour(?: the contents of)?) the (.+?)(?: (?:to|in|into) the (.+))?\.$"
)


def _candidates(command: str, answer: str, listed: Sequence[str]) -> list[str]:
    """Plainer ways to say `command`, the plainest first, without itself."""
    if joined := _CONNECTED.search(answer):
        plain = [f"connect {joined[2]} {joined[1]} to {joined[4]} {joined[3]}"]
    else:
        called = _ANSWERED.search(answer)
        what, where = (called[1] or "", called[2] or "") if called else ("", "")
        if two := _TWO.match(command):
            plain = [
                f"{two[1]} {_name(two[2], listed, what, short)} {two[3]} {_name(two[4], listed, where, short)}"
                for short in (True, False)
            ]
        elif one := _VERBS.match(command):
            plain = [f"{one[1]} {_name(one[2], listed, what, short)}" for short in (True, False)]
        else:
            plain = []
    return [p for p in dict.fromkeys(plain) if p != command]


def _name(said: str, listed: Sequence[str], answered: str, short: bool) -> str:
    """A thing as listings call it: `egg turtle egg in inventory` is `turtle egg in inventory`.

    Args:
        answered: what the simulator calls it in its answer.
        short: without what is inside it, too.
    """
    core, inside, _ = said.partition(" in inventory")
    core = (
        re.sub(r" containing .*", "", core)
        if short
        else re.sub(r" in (?:the )?[a-z ]*(?:studio|room|\w+)$", "", core)
    )
    if not short and "containing" in said:
        return core + inside
    words = list(dict.fromkeys(core.split()))
    exact = [n for n in listed if set(n.split()) == set(words)]
    wider = [n for n in listed if set(words) <= set(n.split())]
    told = answered in listed or set(words) < set(answered.split())  # it says more than was said
    return (*exact, *([answered] if answered and told else []), *wider, " ".join(words))[0] + inside
