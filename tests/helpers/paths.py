"""Folders that tests read."""

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
CORE = ROOT / "eefcore"
GOLDEN = TESTS / "golden"
SHARED = ROOT.parent / "shared" / "data"
WEBSHOP_DATA = Path(os.environ.get("EEF_WEBSHOP_DATA") or SHARED / "webshop")
"""The official WebShop files; tests that read them are skipped where they are not."""
SCIWORLD_DATA = SHARED / "sciworld"
