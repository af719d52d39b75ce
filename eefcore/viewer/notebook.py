"""Show trajectories in a notebook as the page that `eef view` writes, in a frame of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any

from eefcore.protocols import Skill
from eefcore.types import Trajectory
from eefcore.viewer.content import Content, Part
from eefcore.viewer.page import render, write_page
from eefcore.viewer.run_page import StageFolder, collect

MOST = 1000
"""Episodes that a view of a list shows at most: a notebook keeps the whole page."""


class TrajectoriesView:
    """Trajectories to filter, search and compare in a notebook; `write` makes a page of them."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self._page = ""

    @classmethod
    def of(
        cls,
        trajectories: Sequence[Trajectory],
        title: str = "trajectories",
        *,
        skills: Mapping[str, Skill] = MappingProxyType({}),
    ) -> TrajectoriesView:
        """Return a view of a list of trajectories, with the actions that use one of `skills` marked."""
        content = Content(title)
        content.add(Part(title, title), trajectories[:MOST], skills=skills)
        if len(trajectories) > MOST:
            content.note(
                f"The first {MOST:,} of {len(trajectories):,} episodes; a notebook keeps the whole page."
            )
        return cls(content)

    @property
    def html(self) -> str:
        """The page."""
        self._page = self._page or render(self.content)
        return self._page

    def write(self, path: Path) -> Path:
        """Write the page to `path`, and return `path`."""
        return write_page(path, self.content)

    def _repr_html_(self) -> str:
        # The frame has no origin: what it shows can't reach the notebook.
        return (
            f'<iframe sandbox="allow-scripts" title="{escape(self.content.title)}" '
            f'style="width:100%;height:640px;border:1px solid #ccc;border-radius:8px" srcdoc="{escape(self.html)}"></iframe>'
        )

    def __repr__(self) -> str:
        return (
            f"{self.content.episodes:,} trajectories and {self.content.trees:,} trees of {self.content.title}"
        )


def view_stage(
    folder: Path,
    label: str,
    params: Mapping[str, Any],
    models: Sequence[Path],
    skills: Mapping[str, Skill] | None = None,
) -> TrajectoriesView:
    """Return a view of the records that a stage has written so far."""
    stage = StageFolder(folder, "", label, params, tuple(models))
    return TrajectoriesView(collect(label, [stage], skills))
