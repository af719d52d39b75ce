"""Prints requirements.lock: the installed versions of all that eefcore needs, its `dev` extra included.

Without local version tags (`+cpu`), so that the lock says the same for every build of a version.
"""

from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(name: str, extras: frozenset[str], seen: dict[str, tuple[str, frozenset[str]]]) -> None:
    """Add `name` with `extras`, and what it needs here, to `seen`: name -> version and extras walked."""
    key = canonicalize_name(name)
    version, walked = seen.get(key, ("", frozenset()))
    if version and extras <= walked:
        return
    try:
        found = distribution(key)
    except PackageNotFoundError:
        raise SystemExit(f"{name} is needed and not installed; run `make setup` first") from None
    seen[key] = found.version.partition("+")[0], walked | extras
    for text in found.requires or ():
        need = Requirement(text)
        if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in extras | {""}):
            closure(need.name, frozenset(need.extras), seen)


if __name__ == "__main__":
    locked: dict[str, tuple[str, frozenset[str]]] = {}
    closure("eefcore", frozenset({"dev"}), locked)
    print("# What eefcore and its dev extra were tested with; constraints for pip. Made by `make lock`.")
    print(
        "\n".join(f"{name}=={version}" for name, (version, _) in sorted(locked.items()) if name != "eefcore")
    )
