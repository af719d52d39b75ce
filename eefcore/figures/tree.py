"""Draw a search tree: nodes are pages, an edge shows its action, N, Q̃ and Q̂, and the chosen path is bold.

The tree is one SVG without scripts, the same in a notebook, a report and a mail; a browser shows the page of a node, its
title, where the reader points. The root is on the left, depth grows to the right, and siblings are ordered by visits.
Actions that were proposed and never tried share one line a node, so that a tree of 5,000 nodes is still legible.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

from eefcore.actions import command
from eefcore.evaluation.formatting import action
from eefcore.figures.plots import BLUE, GREEN, INK, RED
from eefcore.search import mcts
from eefcore.search.tree import Edge, Node, Tree
from eefcore.storage.disk import write_atomically
from eefcore.types import StopReason

COLUMN, ROW, LEFT, TOP = 262, 36, 16, 26
_ACTION = 34  # characters of an action
_ENDING = 90  # pixels right of the deepest column, for how an episode ended


class Spot(NamedTuple):
    """The place of a node, in pixels."""

    x: float
    y: float


class TreeView:
    """A search tree that a notebook shows as a picture."""

    def __init__(self, tree: Tree, by: str = "visits") -> None:
        self.tree = tree
        done = {p.node: p.edge for p in tree.path(tree.at)}
        self._chosen = {p.node: p.edge for p in mcts.principal_path(tree, by)} | done
        self._spots, self._rows = _layout(tree)

    @property
    def svg(self) -> str:
        """The tree as SVG."""
        depth = max(s.x for s in self._spots.values())
        width, height = int(depth + _ENDING), int(TOP + ROW * self._rows + 8)
        lines = "".join(part for k in self._spots for part in self._edges(k))
        nodes = "".join(self._node(k) for k in self._spots)
        summary = escape(self._summary())
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="group" aria-label="{summary}" '
            f'font-family="sans-serif" font-size="11" fill="{INK}">'
            f'<text x="{LEFT}" y="14">{summary}</text>{lines}{nodes}</svg>'
        )

    @property
    def text(self) -> str:
        """The tree as an indented outline, to read without a browser."""
        return "\n".join([self._summary(), *self._outline()])

    def _repr_html_(self) -> str:
        return f'<div style="overflow:auto;max-height:560px">{self.svg}</div>'

    def __repr__(self) -> str:
        return self.text

    def _summary(self) -> str:
        t = self.tree
        return (
            f"{t.task_id}: {len(t.simulations)} simulations, {len(t.nodes)} nodes, by the {t.signal.value}; "
            "edges: N visits, Q̃ mean return, Q̂ the critic’s estimate"
        )

    def _edges(self, k: int) -> Iterator[str]:
        """Yield the lines from node k to its children, and their labels."""
        here, node = self._spots[k], self.tree.nodes[k]
        total = max(1, mcts.visits(node))
        for i, edge in _tried(node):
            spot, bold = self._spots[edge.child], self._chosen.get(k) == i
            width = 1.0 + 3.0 * edge.N / total
            bend = here.x + 24
            yield (
                f'<path d="M{here.x:.0f} {here.y:.1f}C{bend:.0f} {here.y:.1f} {here.x + 12:.0f} {spot.y:.1f} '
                f'{here.x + 38:.0f} {spot.y:.1f}H{spot.x:.0f}" fill="none" stroke="{BLUE if bold else INK}" '
                f'stroke-width="{width:.1f}" opacity="{1 if bold else 0.55}"/>'
            )
            weight = ' font-weight="bold"' if bold else ""
            yield f'<text x="{here.x + 42:.0f}" y="{spot.y - 5:.1f}"{weight}>{escape(_short(edge))}'
            yield f"<title>{escape(edge.reply.action)}</title></text>"
            yield f'<text x="{here.x + 42:.0f}" y="{spot.y + 13:.1f}" opacity="0.85">{_numbers(edge)}</text>'
        if untried := [e for e in node.edges if not e.N]:
            x, y = here.x - 4, here.y + 17
            actions = "\n".join(f"{command(e.reply.action)}  Q̂ {e.q_hat:.2f}" for e in untried)
            yield f'<text x="{x:.0f}" y="{y:.1f}" opacity="0.7">+{len(untried)}<title>{escape(actions)}</title></text>'

    def _node(self, k: int) -> str:
        spot, node = self._spots[k], self.tree.nodes[k]
        ended = " ".join(filter(None, (node.stop and node.stop.value.replace("_", " "), _reward(node))))
        title = escape(f"{node.observation}\n{ended}".rstrip())
        # A transparent rim makes the small dot easier to point at.
        dot = (
            f'<circle cx="{spot.x:.0f}" cy="{spot.y:.1f}" r="{6 if k == self.tree.at else 4.5}" fill="{_colour(node)}" '
            f'stroke="transparent" stroke-width="10"><title>{title}</title></circle>'
        )
        return (
            f'{dot}<text x="{spot.x + 9:.0f}" y="{spot.y + 4:.1f}">{_end(node, node.stop)}</text>'
            if node.stop
            else dot
        )

    def _outline(self) -> Iterator[str]:
        waiting = [(0, i, edge, 0) for i, edge in reversed(_tried(self.tree.nodes[0]))]
        while waiting:  # no recursion: a tree may be deeper than Python's stack
            k, i, edge, depth = waiting.pop()
            child = self.tree.nodes[edge.child]
            mark = "*" if self._chosen.get(k) == i else " "
            line = f"{'  ' * depth}{mark} {command(edge.reply.action)}  {_numbers(edge)}  {_reward(child)}"
            yield line.rstrip()
            waiting += [(edge.child, j, below, depth + 1) for j, below in reversed(_tried(child))]


def write_tree(path: Path, view: TreeView) -> None:
    """Write an HTML page at `path` that shows the tree."""
    page = f'<!doctype html><meta charset="utf-8"><title>{escape(view.tree.task_id)}</title><body>{view.svg}</body>'
    write_atomically(path, page.encode("utf-8", "xmlcharrefreplace"))


def _layout(tree: Tree) -> tuple[dict[int, Spot], int]:
    """Place each visited node, leaves below each other and a node amid its children; return the places and how many rows there are."""
    spots: dict[int, Spot] = {}
    rows = 0
    stack = [(0, 0, False)]
    while stack:
        k, depth, below = stack.pop()
        children = [e.child for _, e in _tried(tree.nodes[k])]
        if children and not below:
            stack.append((k, depth, True))
            stack += [(child, depth + 1, False) for child in reversed(children)]
            continue
        ys = [spots[child].y for child in children]
        if not ys:
            ys, rows = [TOP + ROW * (rows + 0.5)], rows + 1
        spots[k] = Spot(LEFT + COLUMN * depth, (ys[0] + ys[-1]) / 2)
    return spots, rows


def _tried(node: Node) -> list[tuple[int, Edge]]:
    """Return the edges with visits and their indices, the most visited first."""
    return sorted(((i, e) for i, e in enumerate(node.edges) if e.N), key=lambda pair: -pair[1].N)


def _short(edge: Edge) -> str:
    text = action(command(edge.reply.action))
    return text if len(text) <= _ACTION else f"{text[: _ACTION - 1]}…"


def _numbers(edge: Edge) -> str:
    whose = "" if edge.proposals else "the expert's · "
    return f"{whose}N {edge.N} · Q̃ {mcts.mean_return(edge):.2f} · Q̂ {edge.q_hat:.2f}"


def _reward(node: Node) -> str:
    return "" if node.reward is None else f"reward {node.reward:.2f}"


def _end(node: Node, stop: StopReason) -> str:
    """Return the label of a node where an episode ended: its reward, the critic's judgement, or why it was cut short."""
    if stop is StopReason.DONE and node.reward is not None:
        return f"R {node.reward:.2f}"
    if stop is StopReason.DONE and node.value is not None:
        return f"judged {node.value:.2f}"
    return escape(stop.value.replace("_", " "))


def _colour(node: Node) -> str:
    """Return green for a win, red for any other ending, and blue for a page."""
    if node.stop is None:
        return BLUE
    return GREEN if node.value == 1.0 else RED
