"""Play any Gymnasium environment that shows text as a benchmark, and hand ours out as a Gymnasium environment.

    benchmark: "gymnasium?id=Taxi-v4&win=20&count=last&actions=south/north/east/west/pickup/dropoff"

A task is a seed of `reset`: the environment must answer equal actions with equal observations after `reset(seed=…)`, as its
generator of random numbers allows, so a state is restored by playing its actions again. What is seen is the observation
where that is text, else what render mode `ansi` draws, its colours written as words. An action is text where the environment
takes text, else one of the names in `actions`. Tasks that begin alike are one task, so that no test task is a training task.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from eefcore import __version__
from eefcore.envs.panels import Episode, Facts, PanelBenchmark, PanelSizes, panel_sizes
from eefcore.errors import ParamsError, SimulatorError
from eefcore.protocols import Benchmark, Skill
from eefcore.storage.hashing import digest
from eefcore.types import State, Transition
from eefcore.unicode import well_formed

if TYPE_CHECKING:
    from gymnasium import Env

_COLOUR = re.compile(r"\x1b\[([0-9;]*)m(.*?)\x1b\[0m", re.DOTALL)
_COLOURS = "gray red green yellow blue magenta cyan white".split()
_SEEDS = 40  # seeds tried for each task before a benchmark says that it has no more

DEFAULT_TURNS = 50
"""The most actions of an episode where neither the name nor the environment says so."""


class Settings(NamedTuple):
    """What the name of a benchmark says of an environment: how it is made, and how its rewards become R(τ)."""

    id: str  # as Gymnasium's `make` takes it, `module:EnvId` included
    arguments: Mapping[str, Any]  # of `make`
    win: float  # the return of a won episode; R(τ) is the return in parts of it, within [0, 1]
    count: str  # the return is the `sum` of the rewards, or the `last` one
    actions: tuple[str, ...]  # names of a discrete action space's actions, in order; empty gives 0, 1, …
    max_turns: int

    def reward(self, rewards: list[float]) -> float:
        """Return R(τ) of a finished episode."""
        total = sum(rewards) if self.count == "sum" else rewards[-1]
        return min(1.0, max(0.0, total / self.win))


class GymBenchmark(PanelBenchmark[int]):
    """The tasks of an environment in three panels; a task is a seed."""

    name = "gymnasium"

    def __init__(self, settings: Settings, panels: PanelSizes, *, seed: int) -> None:
        self.settings, self.max_turns = settings, settings.max_turns
        self.skills: Mapping[str, Skill] = {}
        self._firsts: dict[str, str] = {}
        goals = self._draw(sum(panels), seed)
        ids = iter(goals)
        splits = {split: tuple(islice(ids, n)) for split, n in panels._asdict().items()}
        package = settings.id.partition(":")[0].partition(".")[0] if ":" in settings.id else "gymnasium"
        super().__init__(
            goals,
            splits,
            {
                **_settled(settings),
                "splits": digest(*(id for of in splits.values() for id in of))[:8],
                "gymnasium": version("gymnasium"),
                "package": f"{package} {_version(package)}",
                "eefcore": __version__,
            },
        )

    def _draw(self, n: int, seed: int) -> dict[str, int]:
        """Return seeds of n tasks that begin differently, by the hash of settings and beginning."""
        env, goals = GymEnvironment({}, self.settings), {}
        about = digest(*map(str, _settled(self.settings).values()))
        for k in range(seed * 1_000_003, seed * 1_000_003 + _SEEDS * max(n, 1)):
            if len(goals) == n:
                break
            first = env.begin(k)
            id = digest(about, first)[:12]
            goals.setdefault(id, k)
            self._firsts.setdefault(id, first)
        env.close()
        if len(goals) < n:
            raise ParamsError(
                f"benchmark gymnasium?id={self.settings.id}: expected {n} tasks that begin differently, got {len(goals)} from "
                f"{_SEEDS * n} seeds; ask for fewer in sizes, or for an environment or arguments with more beginnings"
            )
        return goals

    def make(self) -> GymEnvironment:
        """Make an environment."""
        return GymEnvironment(self.goals, self.settings)

    def instruction(self, task_id: str) -> str:
        """Return o_0, which is all that says what to do."""
        self.goal(task_id)
        return self._firsts[task_id]


class GymEnvironment(Episode[int]):
    """One episode of a Gymnasium environment."""

    def __init__(self, goals: Mapping[str, int], settings: Settings) -> None:
        super().__init__(goals)
        self._settings = settings
        self._rewards: list[float] = []
        self._seen = ""

    @cached_property
    def _env(self) -> Env:
        return _make(self._settings)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """Return the names of the actions; none where any text is one."""
        gym, space = package(), self._env.action_space
        if isinstance(space, gym.spaces.Text):
            return ()
        count = int(getattr(space, "n", 0)) if isinstance(space, gym.spaces.Discrete) else 0
        names = self._settings.actions or tuple(map(str, range(count)))
        if not count or len(names) != count or len(set(names)) != count:
            raise ParamsError(
                f"benchmark gymnasium?id={self._settings.id}: expected actions that are text, or a name for each of a "
                f"discrete space in `actions`, got the space {space} and the names {'/'.join(names) or 'none'}; name all, "
                "as in actions=left/right, or wrap the environment"
            )
        return names

    def begin(self, seed: int) -> str:
        """Reset the environment with a seed, and return what is seen."""
        names = self._names
        self._rewards = []
        shown, _ = self._env.reset(seed=seed)
        choices = f"\nActions: {', '.join(names)}" if names else ""
        self._seen = self._text(shown)
        return self._seen + choices

    def reset(self, task_id: str) -> str:
        """Start the task; return o_0."""
        return self.begin(self._start(task_id))

    def step(self, action: str) -> Transition:
        """Take an action; what is none is answered and changes nothing."""
        state = self._running_state()
        self._state = State(state.task_id, (*state.actions, action))
        said = action.strip()
        if not said or (self._names and said not in self._names):
            choices = f"choose one of {', '.join(self._names)}" if self._names else "write one"
            return Transition(f"That is no action here; {choices}.\n{self._seen}")
        taken: Any = self._names.index(said) if self._names else well_formed(said)
        if not self._names and not self._env.action_space.contains(taken):
            return Transition(f"That is no action here: {self._env.action_space}.\n{self._seen}")
        shown, reward, terminated, truncated, _ = self._env.step(taken)
        self._rewards.append(float(reward))
        self._seen = self._text(shown)
        self._done = bool(terminated or truncated)
        return Transition(self._seen, self._settings.reward(self._rewards) if self._done else 0.0, self._done)

    def restore(self, state: State) -> str:
        """Play the actions of `state` again from its start; return the observation there."""
        observation = self.reset(state.task_id)
        for action in state.actions:
            observation = self.step(action).observation
        return observation

    def close(self) -> None:
        """Close the environment."""
        if "_env" in self.__dict__:
            self._env.close()
            del self.__dict__["_env"]

    def _text(self, shown: Any) -> str:
        """Return what is seen as text."""
        if not isinstance(shown, str) and self._env.render_mode == "ansi":
            shown = self._env.render()
        if not isinstance(shown, str):
            raise ParamsError(
                f"benchmark gymnasium?id={self._settings.id}: expected observations that are text, or render_mode=ansi, got "
                f"{type(shown).__name__}; wrap the environment so that it shows text"
            )
        return well_formed(_COLOUR.sub(_in_words, shown))


def _in_words(match: re.Match[str]) -> str:
    """Return coloured text with its colours as words: `<yellow: R>`."""
    codes = [int(code) for code in match[1].split(";") if code]
    colours = [_COLOURS[code % 10] for code in codes if code // 10 in (3, 4, 9) and code % 10 < 8]
    return f"<{' '.join(colours)}: {match[2]}>" if colours else match[2]


def gymnasium(*, data: str, sizes: str, seed: int, **options: str) -> GymBenchmark:
    """Load the environment that `id` names; other options than those of `read_settings` are arguments of its `make`.

    Raises:
        SimulatorError: Gymnasium is not installed, or it can't make the environment.
        ParamsError: see `read_settings`; the environment is not one of text.
    """
    return GymBenchmark(read_settings(options), panel_sizes(sizes), seed=seed)


def check_options(*, name: str, data: str, sizes: PanelSizes, options: Mapping[str, str]) -> None:
    """Refuse options that name no environment, and a machine without Gymnasium."""
    read_settings(options)


def read_settings(options: Mapping[str, str]) -> Settings:
    """Read the options of a name: `id`, `win` (1), `count` (sum), `actions`, `max_turns`, and arguments of `make` in YAML.

    Raises:
        SimulatorError: Gymnasium is not installed.
        ParamsError: there is no such environment, or an option can't be read.
    """
    gym, given = package(), {**options}
    id = given.pop("id", "")
    where = f"benchmark gymnasium?id={id}"
    if not id:
        raise ParamsError(
            "benchmark gymnasium: expected the id of an environment, as in gymnasium?id=Taxi-v4, got none"
        )
    try:
        spec = gym.spec(id)
    except (gym.error.Error, ImportError) as error:
        raise ParamsError(
            f"{where}: there is no such environment ({error}); install its package, and name its module where it registers "
            "there, as in id=my_module:MyEnv-v0"
        ) from error
    count = given.pop("count", "sum")
    win, turns = given.pop("win", "1"), given.pop("max_turns", str(spec.max_episode_steps or DEFAULT_TURNS))
    actions = tuple(name.strip() for name in given.pop("actions", "").split("/") if name.strip())
    try:
        most, top = int(turns), float(win)
        arguments = {key: yaml.safe_load(value) for key, value in given.items()}
    except (ValueError, yaml.YAMLError) as error:
        raise ParamsError(
            f"{where}: {error}; expected win=1, max_turns=50 and other options in YAML"
        ) from error
    if count not in ("sum", "last") or not 0 < top < math.inf or most < 1:
        raise ParamsError(
            f"{where}: expected count sum or last, win above 0 and max_turns of at least 1, got {count}, {win} and {turns}"
        )
    return Settings(id, arguments, top, count, actions, most)


def package() -> ModuleType:
    """Return the package Gymnasium.

    Raises:
        SimulatorError: it is not installed.
    """
    try:
        return import_module("gymnasium")
    except ImportError as error:
        raise SimulatorError(
            f"benchmark gymnasium: the package is not installed ({error}); pip install -e '.[gymnasium]'"
        ) from error


def _make(settings: Settings) -> Env:
    """Make the environment without a limit of its own on the number of actions, which `max_turns` is."""
    gym, arguments = package(), {**settings.arguments}
    try:
        if "ansi" in _render_modes(gym, settings.id):
            arguments.setdefault("render_mode", "ansi")
        return gym.make(settings.id, max_episode_steps=-1, **arguments)
    except (gym.error.Error, TypeError, ValueError, ImportError, OSError) as error:
        given = ", ".join(f"{key}={value}" for key, value in arguments.items()) or "no arguments"
        raise SimulatorError(
            f"benchmark gymnasium?id={settings.id}: it can't be made with {given} ({type(error).__name__}: {error}); options "
            "that the benchmark does not know are arguments of the environment"
        ) from error


def _render_modes(gym: ModuleType, id: str) -> list[str]:
    """Return the ways in which an environment can be drawn, which its class says."""
    entry = gym.spec(id).entry_point
    made = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    return list(getattr(made, "metadata", {}).get("render_modes", ()))


def _settled(settings: Settings) -> Facts:
    """Return what of the settings two results must have in common, for the environment card."""
    return {
        "id": settings.id,
        "arguments": ", ".join(f"{key}={value}" for key, value in sorted(settings.arguments.items())),
        "win": settings.win,
        "count": settings.count,
        "actions": "/".join(settings.actions),
        "max_turns": settings.max_turns,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def to_gymnasium(benchmark: Benchmark, split: str = "train") -> Env:
    """Return the tasks of a split as a Gymnasium environment of text, for the programs of others.

    `reset(seed=n)` starts a task that the seed draws, `reset(options={"task": id})` the one that is named; the info has its id as
    `task`, and at the end `won`. The reward is R(τ), at the end; after `max_turns` actions the episode is truncated. An
    action that the environment does not know is answered, not refused.

    Raises:
        SimulatorError: Gymnasium is not installed.
    """
    gym = package()
    tasks = benchmark.tasks(split)

    class AnyText(gym.spaces.Text):
        def contains(self, x: Any) -> bool:
            return isinstance(x, str)

    class TextWorld(gym.Env):
        metadata: Mapping[str, Any] = {"render_modes": ["ansi"]}  # as Gymnasium declares it
        render_mode = "ansi"
        observation_space = action_space = AnyText(10_000)  # any text; the length is of samples alone

        def __init__(self) -> None:
            self._env, self._turns, self._seen = benchmark.make(), 0, ""

        def reset(
            self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
        ) -> tuple[str, dict[str, Any]]:
            super().reset(seed=seed)
            self._task = (options or {}).get("task") or tasks[int(self.np_random.integers(len(tasks)))]
            self._turns, self._seen = 0, self._env.reset(self._task)
            return self._seen, {"task": self._task}

        def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
            answer = self._env.step(action)
            self._turns, self._seen = self._turns + 1, answer.observation
            cut = not answer.done and self._turns >= benchmark.max_turns
            info = {"task": self._task} | ({"won": answer.reward == 1.0} if answer.done else {})
            return answer.observation, answer.reward, answer.done, cut, info

        def render(self) -> str:
            return self._seen

        def close(self) -> None:
            if close := getattr(self._env, "close", None):
                close()

    return TextWorld()
