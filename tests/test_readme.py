"""What the README and the documentation claim of the code is there, and their numbers come from results/published."""

from __future__ import annotations

import csv
import importlib
import re

import pytest
import yaml
from helpers.paths import ROOT
from helpers.prose import EVIDENCE, FENCE, FILE, GUIDES, LINK, NAME, PUBLISHED, README, anchor, pairs, place

from eefcore.evaluation.formatting import p_value, percent, signed
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
    reports = [path.read_text("utf-8") for path in sorted(PUBLISHED.rglob("report.md"))]
    assert any(number in report for report in reports), (
        f"{page}: {number} is in no report of results/published"
    )


def published_rows(run: str, table: str) -> dict[str, dict[str, float]]:
    """Return the numbers of a published table, by method and column; an empty cell is left out."""
    with (PUBLISHED / run / "tables" / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return {
        line["method"]: {k: float(v) for k, v in line.items() if v and k not in ("method", "signals")}
        for line in lines
    }


def results_table(run: str, baseline: str) -> list[str]:
    """Return the lines of the README's table of results, from the published tables of a run."""
    skills, out = published_rows(run, "skills"), []
    for method, row in published_rows(run, "methods").items():
        used = skills[method]
        rates = [
            percent(used[f"{skill} {part}"]) for skill in ("Next", "Back") for part in ("success", "attempt")
        ]
        gap = "–"
        if method != baseline:
            value, low, high = (signed(row[f"win rate gap{end}"]) for end in ("", " low", " high"))
            gap = f"{value} ({low} to {high}), {p_value(row['win rate gap holm'])}"
        cells = [
            method,
            f"{percent(row['win rate'])} ({100 * row['win rate low']:.1f} – {100 * row['win rate high']:.1f})",
            f"{row['reward']:.2f}",
            *(f"{won.removesuffix(' %')} / {tried}" for won, tried in (rates[:2], rates[2:])),
            *(f"{row[cost]:,.0f}" if cost in row else "–" for cost in ("simulations", "tokens trained")),
            gap,
        ]
        out.append(f"| {' | '.join(cells)} |")
    return out


def test_every_number_of_the_readmes_results_is_published():
    """The lines that this expects are those to copy after a new publication."""
    text = README.read_text("utf-8")
    block = text[text.index("<!-- results -->") : text.index("<!-- /results -->")]
    head, _, *lines = [line for line in block.splitlines() if line.startswith("|")]
    baseline = re.search(r"gap to ([^|]+), points \|", head)
    assert baseline and lines == results_table("eef_webshop_mini", baseline[1])
