"""What the README claims of the code is there."""

from __future__ import annotations

import importlib
import re

import pytest
from helpers.paths import ROOT

TEXT = (ROOT / "README.md").read_text()
NAMES = sorted(set(re.findall(r"`(eefcore(?:\.\w+)+)`", TEXT)))
FILES = sorted(set(re.findall(r"`((?:params|tests|notebooks|results)/[\w./-]+)`|\]\(([\w./-]+)\)", TEXT)))


def test_there_is_a_paper_map():
    assert len(NAMES) > 10


@pytest.mark.parametrize("name", NAMES)
def test_a_name_resolves(name):
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            found = getattr(found, part)
        return
    pytest.fail(f"README: {name} is not in the package")


@pytest.mark.parametrize("name", ["".join(names) for names in FILES])
def test_a_file_is_there(name):
    if name.startswith("results/quickstart"):
        pytest.skip("made by `make run`")
    found = ROOT / name
    assert found.exists() or list(found.parent.glob(f"{found.name}*")), f"README: {name} is not there"
