"""Hooks of MkDocs: what the documentation site shows beyond the pages in docs/.

Four pages at the top of the repository and everything in results/published become pages of the site. The reference of each
package and the list of parameters are made from the code at each build. Links between Markdown files are written as
they work in the repository; here they are turned into links of the site.
"""

from __future__ import annotations

import ast
import logging
import posixpath
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from eefcore.runs.notebook import read_notebooks

ROOT = Path(__file__).parents[1]
PAGES = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "results/README.md": "reference/logged_keys.md",
}
"""Pages that stand elsewhere in the repository: file -> place on the site."""
NAME = re.compile(r"(?<!\[)`(eefcore(?:\.\w+)+)`")
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(?=[)#])")
FOREIGN = re.compile(
    r"<(?:script|img|iframe)\b[^>]*\bsrc=\"https?:|<link\b[^>]*\brel=\"?stylesheet[^>]*https?:"
)

log = logging.getLogger("mkdocs.hooks.docs")


def sources() -> dict[str, str]:
    """Files of the repository outside docs/ that the site shows: file -> place on the site."""
    published = (
        p.relative_to(ROOT).as_posix() for p in (ROOT / "results/published").rglob("*") if p.is_file()
    )
    return PAGES | {path: path.removeprefix("results/") for path in published}


def packages() -> Iterator[str]:
    """The packages and modules right below eefcore, each a page of the reference."""
    for path in sorted((ROOT / "eefcore").iterdir()):
        if path.suffix == ".py" and path.stem != "__init__":
            yield path.stem
        elif (path / "__init__.py").exists():
            yield path.name


def module_name(path: Path) -> str:
    """The importable name of a file of the library."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def definitions(path: Path) -> list[str]:
    """The public functions and classes that a file defines at its top level and explains in a docstring."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    nodes = ast.parse(path.read_text("utf-8")).body
    return [n.name for n in nodes if isinstance(n, kinds) and n.name[0] != "_" and ast.get_docstring(n)]


@cache
def anchors() -> frozenset[str]:
    """The names that the reference has a heading for."""
    paths = sorted((ROOT / "eefcore").rglob("*.py"))
    modules = {module_name(path) for path in paths if path.name != "__init__.py"}
    return frozenset(
        modules | {f"{module_name(path)}.{name}" for path in paths for name in definitions(path)}
    )


def package_page(name: str) -> str:
    """The page of a package: its docstring and what it defines itself, then each of its modules."""
    place = ROOT / "eefcore" / name
    if place.with_suffix(".py").exists():
        return f"# {name}\n\n::: eefcore.{name}\n"
    own = definitions(place / "__init__.py")
    options = f"    options:\n      members: {own if own else 'false'}\n      show_root_heading: false\n"
    modules = (module_name(path) for path in sorted(place.rglob("*.py")) if path.name != "__init__.py")
    return f"# {name}\n\n::: eefcore.{name}\n{options}" + "".join(f"\n::: {module}\n" for module in modules)


def parameters_page() -> str:
    """Every parameter of every stage notebook: type, default, help."""
    lines = [
        "# Parameters",
        "",
        "Each notebook declares its parameters in its first code cell; this page is made from those cells. What a params",
        "file may say, and in which order entries win, is explained in [Params files and suites](../howto/params.md).",
    ]
    for notebook in read_notebooks(ROOT / "notebooks").values():
        lines += [
            "",
            f"## {notebook.name}",
            "",
            "| parameter | type | default | what it sets |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| `{p.name}` | {p.type} | `{p.default!r}` | {p.help.replace('|', chr(92) + '|')} |"
            for p in notebook.parameters.values()
        ]
    return "\n".join(lines) + "\n"


def made() -> dict[str, str]:
    """Pages made from the code: place on the site -> Markdown."""
    return {f"reference/{name}.md": package_page(name) for name in packages()} | {
        "reference/parameters.md": parameters_page()
    }


def linked(text: str, source: str, target: str, places: Mapping[str, str]) -> tuple[str, list[str]]:
    """The Markdown of the file `source`, shown at `target`, with links of the site, and the links that lead nowhere.

    `places` maps files of the repository to places on the site.
    """
    broken = []

    def replace(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        if path not in places:
            broken.append(match[1])
            return match[1]
        return posixpath.relpath(places[path], posixpath.dirname(target) or ".")

    return LINK.sub(replace, text), broken


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the packages to the section `Reference` of the navigation."""
    (reference,) = (entry["Reference"] for entry in config.nav or () if "Reference" in entry)
    reference.append({"Library": [{name: f"reference/{name}.md"} for name in packages()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from elsewhere and those made from the code."""
    for path, place in sources().items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    for place, text in made().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site, and names of the library into links to the reference."""
    elsewhere = {place: path for path, place in sources().items()}
    generated = made()
    places = {f"docs/{file.src_uri}": file.src_uri for file in files} | sources()
    place = page.file.src_uri
    if place in generated:
        return markdown
    text, broken = linked(markdown, elsewhere.get(place, f"docs/{place}"), place, places)
    for link in broken:
        log.warning("%s links to %s, which the site does not have", place, link)
    return NAME.sub(lambda m: f"[{m[0]}][{m[1]}]" if m[1] in anchors() else m[0], text)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Warn of what a browser would load from another machine."""
    for match in FOREIGN.findall(output):
        log.warning("%s loads from another machine: %s", page.file.src_uri, match)
    return output
