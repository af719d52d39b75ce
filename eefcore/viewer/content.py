"""Collect trajectories and trees into the compact content of a page: columns to filter by, and bodies that are read when shown.

    index        one list a column: stage, task, reward, stop, skills, … of every episode; names are numbers into lists
    bodies       the turns of 200 episodes a block; texts are numbers
    texts        each text once, in blocks of about a megabyte
    trees        the nodes and edges of 20 trees a block

Pages repeat, so that ten thousand episodes have few texts. Each block is JSON, compressed, in base64: no text of an
environment or a model is ever markup of the page.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from eefcore.actions import command, is_thought
from eefcore.evaluation.navigation import skills_by_action, uses_skill
from eefcore.protocols import Skill
from eefcore.search import mcts
from eefcore.search.tree import Tree
from eefcore.types import Trajectory
from eefcore.viewer.tokens import Vocabulary

EPISODES_A_BLOCK = 200
TREES_A_BLOCK = 20
TEXT_BLOCK = 1_000_000  # characters
TITLE = 200  # characters


class Use(IntEnum):
    """What learning did with the actions of an episode."""

    TRAINED = 0
    PREFERRED = 1
    REJECTED = 2


class Mark(NamedTuple):
    """What a stage did with some actions of an episode, by their indices."""

    stage: str  # its label, and its methods
    use: Use
    actions: tuple[int, ...]


class Part(NamedTuple):
    """The episodes of one file of a stage: `key` begins their links, `label` and `methods` are what they are filtered by."""

    key: str
    label: str
    run: str = ""
    methods: tuple[str, ...] = ()


class Names(dict[str, int]):
    """Names in the order in which they came, each with its number."""

    def number(self, name: str) -> int:
        """Return the number of `name`."""
        return self.setdefault(name, len(self))


class Content:
    """What a page shows. `add` and `add_trees` take it part by part, so that a run is never whole in memory."""

    def __init__(self, title: str) -> None:
        self.title, self.notes = title, dict[str, None]()
        self._names = {name: Names() for name in ("task", "source", "stop", "outcome", "skill")}
        self._titles: dict[str, str] = {}
        self._columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        self._parts: list[dict[str, Any]] = []
        self._trees: list[dict[str, Any]] = []
        self._texts = Names()
        self._text_block, self._text_starts, self._size = list[str](), [0], 0
        self._bodies, self._tree_bodies = list[Any](), list[Any]()
        self._blocks: dict[str, str] = {}
        self._vocabularies: dict[str, tuple[int, Vocabulary]] = {}

    @property
    def episodes(self) -> int:
        """The number of episodes so far."""
        return len(self._columns["task"])

    @property
    def trees(self) -> int:
        """The number of trees so far."""
        return len(self._trees)

    def note(self, text: str) -> None:
        """Add a sentence that the page says about itself."""
        self.notes[text] = None

    def add(
        self,
        part: Part,
        trajectories: Iterable[Trajectory],
        *,
        skills: Mapping[str, Skill],
        marks: Sequence[Sequence[Mark]] = (),
        vocabulary: Vocabulary | None = None,
    ) -> None:
        """Add the episodes of one part; `marks` says of each what learning did with it."""
        first = self.episodes
        known = None
        if vocabulary is not None:
            known, vocabulary = self._vocabularies.setdefault(
                vocabulary.key, (len(self._vocabularies), vocabulary)
            )
        for i, trajectory in enumerate(trajectories):
            of = tuple(marks[i]) if i < len(marks) else ()
            self._row(trajectory, len(self._parts), skills, of)
            self._bodies.append(self._body(trajectory, skills, of, known, vocabulary))
            if len(self._bodies) == EPISODES_A_BLOCK:
                self._flush("bodies", self._bodies)
        self._parts.append({**part._asdict(), "first": first, "count": self.episodes - first})

    def add_trees(self, part: Part, trees: Iterable[Tree]) -> None:
        """Add the search trees of one stage."""
        for i, tree in enumerate(trees):
            title = _title(tree.root.at(0).observation)
            self._trees.append(
                {
                    "part": len(self._parts),
                    "n": i,
                    "task": self._names["task"].number(tree.task_id),
                    "nodes": len(tree.nodes),
                    "simulations": len(tree.simulations),
                    "best": max((s.value for s in tree.simulations), default=None),
                }
            )
            self._titles.setdefault(tree.task_id, title)
            self._tree_bodies.append(self._tree(tree))
            if len(self._tree_bodies) == TREES_A_BLOCK:
                self._flush("trees", self._tree_bodies)
        self._parts.append({**part._asdict(), "first": self.episodes, "count": 0})

    def blocks(self) -> dict[str, str]:
        """Return the blocks of the page by name, in base64; `index` says what is in the others."""
        for kind, left in (("bodies", self._bodies), ("trees", self._tree_bodies)):
            if left:
                self._flush(kind, left)
        self._flush_texts()
        index = {
            "title": self.title,
            "notes": list(self.notes),
            "parts": self._parts,
            "columns": self._columns,
            "names": {name: list(names) for name, names in self._names.items()},
            "titles": [self._titles[task] for task in self._names["task"]],
            "trees": self._trees,
            "vocabularies": [v.pieces for _, v in self._vocabularies.values()],
            "text_starts": self._text_starts,
            "block": {"bodies": EPISODES_A_BLOCK, "trees": TREES_A_BLOCK},
        }
        return {"index": packed(index), **self._blocks}

    # ------------------------------------------------------------------------------ episodes

    def _row(self, t: Trajectory, part: int, skills: Mapping[str, Skill], marks: Sequence[Mark]) -> None:
        used = [self._names["skill"].number(name) for name, skill in skills.items() if uses_skill(t, skill)]
        row = {
            "part": part,
            "task": self._names["task"].number(t.task_id),
            "source": self._names["source"].number(t.source),
            "stop": self._names["stop"].number(t.stop.value),
            "outcome": self._names["outcome"].number(_outcome(t)),
            "reward": round(t.reward, 4),
            "actions": len(t),
            "expert": t.n_expert,
            "skills": sum(1 << i for i in used),
            "uses": sum({1 << mark.use for mark in marks}),
        }
        for name, value in row.items():
            self._columns[name].append(value)
        self._titles.setdefault(t.task_id, _title(t.history.at(0).observation))

    def _body(
        self,
        t: Trajectory,
        skills: Mapping[str, Skill],
        marks: Sequence[Mark],
        known: int | None,
        vocabulary: Vocabulary | None,
    ) -> dict[str, Any]:
        used = skills_by_action(t.history, skills)
        steps = []
        for i, step in enumerate(t.history.steps):
            flags = (i < t.n_expert) + 2 * is_thought(step.action) + 4 * (not step.trained)
            row: list[Any] = [self._text(step.observation), self._text(step.action), flags]
            own = vocabulary is not None and not step.tokenizer  # an expert's ids are of another vocabulary
            ids = [vocabulary.piece(token) for token in step.tokens] if own and vocabulary else []
            row += [sum(1 << self._names["skill"].number(name) for name in used[i])]
            row += [ids or len(step.tokens), [_rounded(x) for x in step.logps]] if step.tokens else []
            steps.append(row)
        body: dict[str, Any] = {"steps": steps, "last": self._text(t.history.observation)}
        if t.refused_answer:
            body["refused"] = self._text(t.refused_answer)
        if known is not None:
            body["vocabulary"] = known
        facts = {
            "reason": t.reason,
            "sample": t.sample,
            "temperature": t.temperature,
            "money": round(t.money, 6),
            "mistakes": [[m.step, m.kind] for m in t.marks],
            "marks": [[m.stage, int(m.use), list(m.actions)] for m in marks],
        }
        return body | {name: value for name, value in facts.items() if value}

    # ------------------------------------------------------------------------------ trees

    def _tree(self, tree: Tree) -> dict[str, Any]:
        chosen = {edge.node: edge.edge for edge in mcts.principal_path(tree, "visits")}
        nodes = []
        for k, node in enumerate(tree.nodes):
            edges = [
                [
                    self._text(e.reply.action),
                    self._text(command(e.reply.action)),
                    e.child,
                    e.proposals,
                    e.N,
                    round(mcts.mean_return(e), 4),
                    round(e.q_hat, 4),
                    int(chosen.get(k) == i),
                ]
                for i, e in enumerate(node.edges)
            ]
            stop = node.stop.value if node.stop else None
            nodes.append([self._text(node.observation), stop, node.reward, node.value, edges])
        return {"nodes": nodes, "signal": tree.signal.value}

    # ------------------------------------------------------------------------------ texts

    def _text(self, text: str) -> int:
        before = len(self._texts)
        number = self._texts.number(text)
        if number == before:
            self._text_block.append(text)
            self._size += len(text)
            if self._size >= TEXT_BLOCK:
                self._flush_texts()
        return number

    def _flush_texts(self) -> None:
        if self._text_block:
            self._blocks[f"texts{len(self._text_starts) - 1}"] = packed(self._text_block)
            self._text_starts.append(len(self._texts))
            self._text_block, self._size = [], 0

    def _flush(self, kind: str, items: list[Any]) -> None:
        done = sum(name.startswith(kind) for name in self._blocks)
        self._blocks[f"{kind}{done}"] = packed(items)
        items.clear()


_COLUMNS = (
    "part", "task", "source", "stop", "outcome", "reward", "actions", "expert", "skills", "uses",
)  # fmt: skip


def packed(value: object) -> str:
    """Return `value` as JSON, compressed, in base64; half of a surrogate pair is kept by its number."""
    return base64.b64encode(
        gzip.compress(json.dumps(value, separators=(",", ":")).encode(), 6, mtime=0)
    ).decode()


def _outcome(t: Trajectory) -> str:
    """Return how the episode counts: won, lost, cut short (a loss as well), or not at all."""
    if t.stop.infrastructure:
        return "failure"
    return "win" if t.win else "loss"


def _title(observation: str) -> str:
    lines = (line.strip().removeprefix("Task:").strip() for line in observation.splitlines())
    return next(filter(None, lines), "")[:TITLE]


def _rounded(logp: float) -> float | None:
    return round(logp, 4) if math.isfinite(logp) else None
