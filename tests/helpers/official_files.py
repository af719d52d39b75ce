"""A folder that looks like the official WebShop files to a plan, which reads the goals and no product."""

from __future__ import annotations

import json
from pathlib import Path

GOALS = 12_087
"""The human goals of the official files."""


def write_official_files(folder: Path) -> Path:
    """Write the three files with all goals of one product, and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    goal = {"instruction": "a towel", "instruction_attributes": ["soft"], "instruction_options": []}
    contents = {
        "items_shuffle.json": [],
        "items_ins_v2.json": {},
        "items_human_ins.json": {"B0": [goal] * GOALS},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    return folder
