"""Tasks of MiniWoB++ by page and seed: an `eefcore.protocols.Benchmark`. Test pages are seen neither in training nor in development."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from itertools import islice

from eefcore import __version__
from eefcore.envs.miniwob.env import MiniWob, Task
from eefcore.envs.miniwob.site import PAGES, html_folder
from eefcore.envs.panels import SPLITS, PanelBenchmark, PanelSizes, panel_sizes
from eefcore.envs.registry import ENTRIES
from eefcore.envs.web.browsing import refusals
from eefcore.envs.web.chromium import missing_dependency
from eefcore.errors import BrowserError, ParamsError
from eefcore.evaluation.navigation import skill_from_pattern
from eefcore.protocols import Skill
from eefcore.storage.hashing import digest, hash_folder


class MiniWobBenchmark(PanelBenchmark[Task]):
    """The tasks of one seed in three panels. Of every five pages one is of the test set and one of the development set."""

    name = "miniwob"

    def __init__(self, panels: PanelSizes, *, seed: int, max_turns: int) -> None:
        drawn = {split: list(islice(_tasks(split, seed), n)) for split, n in panels._asdict().items()}
        splits = {split: tuple(map(task_id, of)) for split, of in drawn.items()}
        super().__init__(
            {task_id(task): task for of in drawn.values() for task in of},
            splits,
            {
                "html": hash_folder(html_folder())[:8],
                "miniwob": version("miniwob"),
                "pages": len(PAGES),
                "splits": digest(*(id for of in splits.values() for id in of))[:8],
                "max_turns": max_turns,
                "eefcore": __version__,
            },
        )
        self.max_turns = max_turns
        self.skills: Mapping[str, Skill] = {
            "Scroll": skill_from_pattern(r"(?i)^\s*SCROLL\b"),
            "Refused": refusals,
        }
        self._goals: dict[str, str] = {}

    def make(self) -> MiniWob:
        """Make an environment; it opens a tab when a task starts."""
        return MiniWob(self.goals)

    def instruction(self, task_id: str) -> str:
        """Return the goal in words, which the page itself writes: it is opened once for that."""
        if task_id not in self._goals:
            env = self.make()
            env.reset(task_id)
            self._goals[task_id] = env.goal
            env.close()
        return self._goals[task_id]


def miniwob(*, data: str, sizes: str, seed: int) -> MiniWobBenchmark:
    """Load tasks of the pages that clicks and typing can solve; no `data` is read.

    Raises:
        BrowserError: Chromium is not installed.
        DataError: the package `miniwob` is not installed.
    """
    if missing := missing_dependency():
        raise BrowserError(missing)
    return MiniWobBenchmark(panel_sizes(sizes), seed=seed, max_turns=ENTRIES["miniwob"].max_turns)


def check_installed(*, name: str, data: str, sizes: PanelSizes, options: Mapping[str, str]) -> None:
    """Refuse options, of which there are none, and a machine without the package `miniwob`."""
    if options:
        raise ParamsError(f"benchmark {name} has no options; got {', '.join(options)}")
    html_folder()


def task_id(task: Task) -> str:
    """Return the id of a task: its page, and a hash of page and seed."""
    return f"{task.page}-{digest(*task)[:12]}"


def pages(split: str) -> tuple[str, ...]:
    """Return the pages of a split."""
    place = {"dev": (1,), "test": (2,)}.get(split, (0, 3, 4))
    return tuple(page for i, page in enumerate(PAGES) if i % 5 in place)


def _tasks(split: str, seed: int) -> Iterator[Task]:
    """Yield the tasks of a split: each of its pages in turn, with one seed after the other."""
    assert split in SPLITS
    n = 0
    while True:
        yield from (Task(page, f"{seed}/{split}/{n}") for page in pages(split))
        n += 1
