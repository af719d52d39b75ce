"""Keep the answers of endpoints, each under the hash of its request, so that a rerun asks nothing twice.

They lie in `.cache/answers` of the results folder, or in `$EEF_CACHE/answers`. A request holds the seed of its turn: an equal
one is the same draw, whatever the temperature. A key is no part of a request and of no answer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eefcore.storage import stages
from eefcore.storage.disk import write_atomically
from eefcore.storage.hashing import digest


def answers_folder() -> Path:
    """Return the folder of kept answers and payments."""
    cache = os.environ.get("EEF_CACHE")
    return (Path(cache) if cache else stages.results_root() / ".cache") / "answers"


class AnswerCache:
    """Answers in a folder, which processes may share: an answer is written whole, and equal requests agree."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, url: str, request: Mapping[str, Any]) -> Any:
        """Return the answer to an equal request; None if none is kept, or if its file is damaged."""
        try:
            return json.loads(self._path(url, request).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None

    def keep(self, url: str, request: Mapping[str, Any], answer: Any) -> None:
        """Keep the answer to a request."""
        write_atomically(self._path(url, request), json.dumps(answer).encode(), sync=False)

    def _path(self, url: str, request: Mapping[str, Any]) -> Path:
        name = digest(url, json.dumps(request, sort_keys=True))
        return self._folder / name[:2] / f"{name}.json"
