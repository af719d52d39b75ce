"""Prints requirements.lock: the installed versions of all that pyproject.toml asks for, its `dev` extra included.

Without local version tags (`+cpu`), so that the lock says the same for every build of a version.
"""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def add(text: str, extras: frozenset[str], seen: dict[str, tuple[str, frozenset[str]]]) -> None:
    """Add the package that `text` requires, and what it needs here, to `seen`: name -> version and extras walked."""
    need = Requirement(text)
    if need.marker is not None and not any(need.marker.evaluate({"extra": e}) for e in extras | {""}):
        return
    key, wanted = canonicalize_name(need.name), frozenset(need.extras)
    version, walked = seen.get(key, ("", frozenset()))
    if version and wanted <= walked:
        return
    try:
        found = distribution(key)
    except PackageNotFoundError:
        raise SystemExit(f"{need.name} is needed and not installed; run `make setup` first") from None
    seen[key] = found.version.partition("+")[0], walked | wanted
    for requirement in found.requires or ():
        add(requirement, wanted, seen)


if __name__ == "__main__":
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    locked: dict[str, tuple[str, frozenset[str]]] = {}
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        add(requirement, frozenset(), locked)
    print("# What eefcore and its dev extra were tested with; constraints for pip. Made by `make lock`.")
    print("\n".join(f"{name}=={version}" for name, (version, _) in sorted(locked.items())))
