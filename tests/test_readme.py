"""What the README and the documentation claim of the code is there, and their numbers come from results/published."""

from __future__ import annotations

import importlib
import re

import pytest
import yaml
from helpers.paths import ROOT
from helpers.prose import EVIDENCE, FENCE, FILE, GUIDES, LINK, NAME, PUBLISHED, README, anchor, pairs, place

from eefcore.runs.notebook import read_notebooks
from eefcore.runs.params import read_params

RATE = re.compile(r"\d+\.\d % \(\d+\.\d – \d+\.\d\)")
GAP = re.compile(r"[+−]\d+\.\d \([+−]\d+\.\d to [+−]\d+\.\d(?=\))")


def test_the_readme_can_be_read_in_one_sitting():
    assert len(README.read_text("utf-8").splitlines()) <= 200


@pytest.mark.parametrize(("page", "name"), pairs(NAME))
def test_a_name_resolves(page, name):
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            found = getattr(found, part)
        return
    pytest.fail(f"{page}: {name} is not in the package")


@pytest.mark.parametrize(("page", "name"), pairs(FILE))
def test_a_file_is_there(page, name):
    if name.startswith("results/quickstart"):
        pytest.skip("made by `make run`")
    found = ROOT / name.rstrip("/")
    assert found.exists() or list(found.parent.glob(f"{found.name}*")), f"{page}: {name} is not there"


@pytest.mark.parametrize(("page", "link"), pairs(LINK))
def test_a_link_leads_to_a_file_and_a_heading(page, link):
    file, _, heading = link.partition("#")
    target = (ROOT / page).parent / file if file else ROOT / page
    assert target.is_file(), f"{page} links to {link}"
    if heading:
        headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
        assert heading in map(anchor, headings), f"{page} links to {link}"


METHODS = [
    (place(path), text)
    for path in GUIDES
    for language, text in FENCE.findall(path.read_text("utf-8"))
    if language == "yaml" and re.search(r"^methods:", text, re.MULTILINE) and "my_package" not in text
]


@pytest.mark.parametrize(("page", "text"), METHODS, ids=[page for page, _ in METHODS])
def test_a_params_file_that_is_shown_fits_the_notebooks(page, text, tmp_path):
    content = {"run": "shown"} | yaml.safe_load(text)
    path = tmp_path / "shown.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
    assert read_params(path, read_notebooks(ROOT / "notebooks")).methods


TABLED = sorted(
    {
        (place(path), number)
        for path in EVIDENCE
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("|")
        for number in (*RATE.findall(line), *GAP.findall(line))
    }
)


@pytest.mark.parametrize(("page", "number"), TABLED)
def test_an_interval_in_a_table_comes_from_a_published_report(page, number):
    reports = [path.read_text("utf-8") for path in sorted(PUBLISHED.glob("*/report.md"))]
    assert any(number in report for report in reports), (
        f"{page}: {number} is in no report of results/published"
    )


def test_the_headline_says_what_it_leans_on():
    for path in (README, ROOT / "docs" / "evidence" / "eef_webshop.md"):
        text = path.read_text("utf-8")
        assert "growth_per_detour = 2" in text and "do not read the order" in text, place(path)
