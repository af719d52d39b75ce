"""Work out gold paths: what the simulator's own rule-based agent does in a task, in words that it can see.

The agent knows the world from within: it says `focus on egg turtle` of what is listed as `a turtle egg`, opens doors
that are open, takes what it has not looked for, and goes on when all is done. Here things are called as they are listed
wherever the simulator then answers the same, a room is looked at before anything in it is used, and commands that
change nothing are left out. If the task is not won in this way, the agent's own words stay.
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
from eefcore.errors import UNDECODABLE
from eefcore.experts.sciworld.scene import Scene, first_scene, next_scene
from eefcore.storage.disk import write_atomically
from eefcore.storage.hashing import cache_folder

FORM = 1
"""The version of the files in the cache; raise it when a change here changes them."""

RespondTo = Callable[[Sequence[str]], Response]
"""Return the simulator's response to the last of these commands."""


class GoldPath(msgspec.Struct, frozen=True):
    """A way through a task: T actions, T + 1 observations from o_0 on, and whether it wins (99.4 % do)."""

    actions: tuple[str, ...]
    observations: tuple[str, ...]
    won: bool


def gold_path(benchmark: SciWorldBenchmark, task_id: str) -> GoldPath:
    """Return the gold path of a task: from the user's cache, or worked out, which takes a second or so, and kept there.

    Raises:
        SimulatorError: the simulator can't be started, or has ended.
    """
    file = cache_folder() / "sciworld" / f"{simulator_version()}-gold-{FORM}" / f"{task_id}.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=GoldPath)
    except (OSError, *UNDECODABLE):
        path = work_out_gold_path(benchmark.simulators, benchmark.goal(task_id))
        write_atomically(file, msgspec.json.encode(path), sync=False)
        return path


def work_out_gold_path(simulators: SimulatorPool, task: Task) -> GoldPath:
    """Return the gold path of a task, by playing it in the simulator."""
    cache = ResponseCache()

    def respond_to(commands: Sequence[str]) -> Response:
        return simulators.response(SimulatorState(task, tuple(commands)), cache)

    raw = _play(respond_to, simulators.gold(task))
    plain = _in_plain_words(respond_to, raw)
    return plain if plain.won or not raw.won else raw


def _play(respond_to: RespondTo, commands: Sequence[str]) -> GoldPath:
    """Return the path of the agent's own commands, up to the win."""
    responses = [respond_to(())]
    for i in range(len(commands)):
        responses.append(respond_to(commands[: i + 1]))
        if responses[-1].completed or responses[-1].score < 0:
            break
    return _gold_path(commands[: len(responses) - 1], responses)


def _in_plain_words(respond_to: RespondTo, raw: GoldPath) -> GoldPath:
    """Rewrite a gold path in the words of the room's listings, and leave out commands that change nothing."""
    commands: list[str] = []
    responses = [respond_to(())]
    # The scene as the agent goes through the task, and as we do.
    agents_scene = scene = first_scene(raw.observations[0])
    focus = ""

    def give(command: str, response: Response) -> None:
        nonlocal scene
        commands.append(command)
        responses.append(response)
        scene = next_scene(scene, command, response.observation)

    for command, answer in zip(raw.actions, raw.observations[1:], strict=True):
        before, agents_scene = agents_scene, next_scene(agents_scene, command, answer)
        looked = scene.things and (not commands or commands[-1] == "look around")
        if _is_idle(command, answer, before) or (looked and command == "look around"):
            continue
        if not scene.things and _ON_WHAT_IS_HERE.match(command):
            # To look around takes no time.
            give("look around", respond_to([*commands, "look around"]))
        names = (focus, *scene.carried, *scene.things)
        for candidate in (*_plainer_commands(command, answer, names), command):
            response = respond_to([*commands, candidate])
            if response.observation == answer:
                break
        give(candidate, response)
        if focused := re.match(r"You focus on the (.+)\.$", response.observation):
            focus = focused[1]
        if response.completed or response.score < 0:
            break
    return _gold_path(commands, responses)


def _gold_path(commands: Sequence[str], responses: Sequence[Response]) -> GoldPath:
    won = responses[-1].completed and responses[-1].score == 100
    return GoldPath(tuple(commands), tuple(r.observation for r in responses), won)


def _is_idle(command: str, answer: str, before: Scene) -> bool:
    """Return whether a command of the agent did nothing."""
    if re.match(r"The .+ is already |You can't move something into itself", answer):
        return True
    taken = re.match(r"You move the (.+) to the inventory\.", answer)
    return taken is not None and command.startswith("pick up ") and before.carried.count(taken[1]) > 0


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


def _plainer_commands(command: str, answer: str, listed: Sequence[str]) -> list[str]:
    """Return plainer ways to say `command`, the plainest first, without itself."""
    if joined := _CONNECTED.search(answer):
        plain = [f"connect {joined[2]} {joined[1]} to {joined[4]} {joined[3]}"]
    else:
        named = _ANSWERED.search(answer)
        what, where = (named[1] or "", named[2] or "") if named else ("", "")
        if two := _TWO.match(command):
            plain = [
                f"{two[1]} {_plain_name(two[2], listed, what, short)} {two[3]} "
                f"{_plain_name(two[4], listed, where, short)}"
                for short in (True, False)
            ]
        elif one := _VERBS.match(command):
            plain = [f"{one[1]} {_plain_name(one[2], listed, what, short)}" for short in (True, False)]
        else:
            plain = []
    return [p for p in dict.fromkeys(plain) if p != command]


def _plain_name(name: str, listed: Sequence[str], in_answer: str, short: bool) -> str:
    """Return a thing's name as listings have it: `egg turtle egg in inventory` is `turtle egg in inventory`.

    The simulator calls it `in_answer` in its answer; `short` leaves out what is inside it, too.
    """
    core, inside, _ = name.partition(" in inventory")
    core = (
        re.sub(r" containing .*", "", core)
        if short
        else re.sub(r" in (?:the )?[a-z ]*(?:studio|room|\w+)$", "", core)
    )
    if not short and "containing" in name:
        return core + inside
    words = list(dict.fromkeys(core.split()))
    exact = [n for n in listed if set(n.split()) == set(words)]
    wider = [n for n in listed if set(words) <= set(n.split())]
    says_more = in_answer in listed or set(words) < set(in_answer.split())
    return (*exact, *([in_answer] if in_answer and says_more else []), *wider, " ".join(words))[0] + inside
