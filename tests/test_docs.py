"""The paper map leads to code that runs, and the documentation site has a page for everything."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import pytest
import yaml
from helpers.paths import CORE, ROOT
from helpers.prose import NAME, PAPER_MAP

LIBRARY = {
    ".".join(("eefcore", *path.relative_to(CORE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(CORE.rglob("*.py"))
}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAPPED = sorted(set(NAME.findall(PAPER_MAP.read_text("utf-8"))))


@cache
def hooks() -> ModuleType:
    """The hooks of MkDocs, which are a file and not in a package."""
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / ".ci" / "docs_hooks.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------------------ the paper map


@cache
def sources() -> dict[str, ast.Module]:
    """The library's modules and the notebooks, parsed, by name."""
    notebooks = {
        path.stem: "\n".join(
            "".join(cell["source"])
            for cell in json.loads(path.read_text("utf-8"))["cells"]
            if cell["cell_type"] == "code"
        )
        for path in NOTEBOOKS
    }
    return {name: ast.parse(text) for name, text in notebooks.items()} | {
        name: ast.parse(path.read_text("utf-8")) for name, path in LIBRARY.items()
    }


def split(name: str) -> tuple[str, str]:
    """The module that a name stands in, and the name inside it; the latter is empty for a module."""
    module = name
    while module not in LIBRARY:
        module = module.rpartition(".")[0]
    return module, name.removeprefix(module).lstrip(".")


def definition(name: str) -> ast.AST | None:
    """The function or class of that full name in the module that it names."""
    module, inner = split(name)
    kinds = ast.FunctionDef | ast.ClassDef
    return next((n for n in sources()[module].body if isinstance(n, kinds) and n.name == inner), None)


def uses(tree: ast.Module) -> set[tuple[str, str]]:
    """What the code of a module reads, by full name, and the top-level function or class that reads it.

    An import alone is no use, and neither is `__all__`.
    """
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            known |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            known |= {a.asname: a.name for a in node.names if a.asname}
    found = set()
    for top in tree.body:
        reader = getattr(top, "name", "")
        for node in ast.walk(top):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found.add((reader, known.get(node.id, node.id)))
            elif isinstance(node, ast.Attribute):
                found |= {(reader, name) for name in dotted(node, known)}
    return found


@cache
def used() -> dict[str, set[tuple[str, str]]]:
    """The uses of each module and notebook."""
    return {place: uses(tree) for place, tree in sources().items()}


def dotted(node: ast.Attribute, known: dict[str, str]) -> Iterator[str]:
    """`a.b.c` with `a` as it was imported, if it is such a chain of names."""
    parts = [node.attr]
    value = node.value
    while isinstance(value, ast.Attribute):
        parts.append(value.attr)
        value = value.value
    if isinstance(value, ast.Name):
        yield ".".join([known.get(value.id, value.id), *reversed(parts)])


def exported(name: str) -> set[str]:
    """The full names under which code may use `name`: its own, and those of the packages above that may export it."""
    module, inner = split(name)
    parts = module.split(".")
    return {".".join([*parts[:i], inner]) for i in range(1, len(parts) + 1)}


def callers(name: str, used: dict[str, set[tuple[str, str]]]) -> set[str]:
    """The modules and notebooks that use the function or class `name`, or anything of the module `name`."""
    module, inner = split(name)
    if not inner:
        return {
            place
            for place, found in used.items()
            if place != module and any(use == module or use.startswith(f"{module}.") for _, use in found)
        }
    names = exported(name)
    return {
        place
        for place, found in used.items()
        if any(use in names or (place == module and use == inner != reader) for reader, use in found)
    }


def test_the_paper_map_has_both_papers():
    text = PAPER_MAP.read_text("utf-8")
    assert len(MAPPED) > 30
    assert all(f"Algorithm 1 l. {line}" in text for line in ("3, 4", "6", "8", "10", "11, 13", "12", "14"))
    assert all(f"| eq. {equation} |" in text for equation in ("4, 5", "6", "7", "9", "10"))


@pytest.mark.parametrize("name", MAPPED)
def test_an_entry_of_the_paper_map_is_defined_where_it_says(name):
    module, inner = split(name)
    assert module in LIBRARY and "." not in inner
    assert not inner or definition(name), f"{module} does not define {inner}; name the module that does"


@pytest.mark.parametrize("name", MAPPED)
def test_an_entry_of_the_paper_map_has_a_caller(name):
    assert callers(name, used()), f"nothing in the library or a notebook uses {name}; point to what runs"


def test_a_function_without_a_caller_is_found_out():
    """The check above can fail: an import, an export and a call of itself are no callers."""
    found = {
        "eefcore.types": uses(ast.parse("def f():\n    return f()\ndef g():\n    return 0\n")),
        "eefcore.errors": uses(ast.parse("from eefcore.types import f, g as h\n__all__ = ['f']\nh()\n")),
    }
    assert callers("eefcore.types.f", found) == set()
    assert callers("eefcore.types.g", found) == {"eefcore.errors"}


# ------------------------------------------------------------------------------ the site


def pages(entries: list) -> Iterator[str]:
    """The pages of a navigation, in its order."""
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        yield from [value] if isinstance(value, str) else pages(value)


def test_every_page_is_in_the_navigation_once():
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    listed = list(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]))
    elsewhere = {*hooks().PAGES.values(), *hooks().made()}
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == written | (elsewhere & set(listed)) and written <= set(listed)
    assert set(hooks().PAGES.values()) <= set(listed)


def test_every_package_has_a_page_of_reference():
    table = re.findall(r"^\| \d+ \| (.+) \|$", (ROOT / "ARCHITECTURE.md").read_text("utf-8"), re.MULTILINE)
    assert set(hooks().packages()) == {name for row in table for name in re.findall(r"`(\w+)`", row)}
    assert {f"reference/{name}.md" for name in hooks().packages()} <= set(hooks().made())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_is_on_the_page_of_parameters(path):
    from eefcore.runs.notebook import read_notebook

    _, _, after = hooks().parameters_page().partition(f"## {path.stem}\n")
    section = after.partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(read_notebook(path).parameters)


@pytest.mark.parametrize(
    ("link", "becomes"),
    [
        ("[a](b.md)", "[a](b.md)"),
        ("[a](../../results/README.md#x)", "[a](../reference/logged_keys.md#x)"),
        ("![a](../../results/published/p.png)", "![a](../published/p.png)"),
        ("[a](https://b.c/d) [e](#f)", "[a](https://b.c/d) [e](#f)"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(link, becomes):
    places = {
        "docs/howto/b.md": "howto/b.md",
        "results/README.md": "reference/logged_keys.md",
        "results/published/p.png": "published/p.png",
    }
    assert hooks().linked(link, "docs/howto/a.md", "howto/a.md", places) == (becomes, [])


def test_a_link_to_what_the_site_does_not_have_is_broken():
    assert hooks().linked("[a](../params/x.yaml)", "docs/a.md", "a.md", {}) == (
        "[a](../params/x.yaml)",
        ["../params/x.yaml"],
    )


@pytest.mark.parametrize(
    ("html", "foreign"),
    [
        ('<script src="https://a.b/c.js"></script>', True),
        ('<link rel="stylesheet" href="https://fonts.a/css">', True),
        ('<img alt="x" src="http://a.b/c.png">', True),
        ('<a href="https://a.b">x</a><script src="assets/a.js"></script><img src="a.png">', False),
    ],
)
def test_what_a_browser_would_load_from_another_machine_is_found(html, foreign):
    assert bool(hooks().FOREIGN.search(html)) == foreign
