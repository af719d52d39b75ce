"""Read the files of a model's folder and say what is wrong with them before a library does."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eefcore.errors import PolicyError

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = {".bin", ".pt", ".pth", ".ckpt"}
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")

SAFE = {"trust_remote_code": False, "local_files_only": True}
"""What every load asks for: no code of the model's own is run, and only the folder that was found is read."""


def is_adapter(folder: Path) -> bool:
    """Return whether the folder holds an adapter and not a whole model."""
    return (folder / ADAPTER).is_file()


def has_tokenizer(folder: Path) -> bool:
    """Return whether a tokenizer was saved in the folder."""
    return any((folder / name).is_file() for name in _TOKENIZER)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a model's folder.

    Raises:
        PolicyError: it is not there, or not a JSON object.
    """
    advice = f"give a folder with {path.name}, safetensors and a tokenizer, or copy the model again"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        there = ", ".join(sorted(p.name for p in path.parent.iterdir())[:8]) or "nothing"
        raise PolicyError(
            f"{path.parent}: no model can be read there: expected {path.name} ({error.strerror}), got {there}; {advice}"
        ) from error
    except ValueError as error:
        raise PolicyError(
            f"{path.parent}: {path.name} can't be read: expected JSON, got {error}; {advice}"
        ) from error
    if not isinstance(content, dict):
        raise PolicyError(
            f"{path.parent}: {path.name}: expected a JSON object, got {type(content).__name__}; {advice}"
        )
    return content


def check_weights(folder: Path, pattern: str = "model*.safetensors") -> None:
    """Check that the weights in `folder` are safetensors, all of them there and none of them torn.

    Raises:
        PolicyError: one is missing or torn, or there are only pickled weights, which can run code when they are read.
    """
    from safetensors import SafetensorError, safe_open

    files = {p.name for p in folder.glob(pattern)}
    if not files:
        pickled = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES)
        there = pickled or sorted(p.name for p in folder.iterdir())
        raise PolicyError(
            f"{folder}: expected weights as {pattern}, got {', '.join(there[:8])}; "
            + ("pickled weights are not read: " if pickled else "")
            + "load the model in a place you trust and save it with safe_serialization=True, or copy it again"
        )
    if pattern != ADAPTER_WEIGHTS and (folder / _INDEX).is_file():
        shards = read_json(folder / _INDEX).get("weight_map")
        if not isinstance(shards, dict) or (lacking := sorted(set(map(str, shards.values())) - files)):
            what = f"misses {', '.join(lacking[:3])}" if isinstance(shards, dict) else "has no weight_map"
            raise PolicyError(
                f"{folder}: expected all the weights of {_INDEX}, got a folder that {what}; copy the model again"
            )
    for name in sorted(files):
        try:
            with safe_open(folder / name, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise PolicyError(
                f"{folder}: {name} is torn: expected safetensors, got {error}; copy the model again"
            ) from error


@contextmanager
def explain_load_errors(what: str, folder: Path) -> Generator[None]:
    """Name the folder in whatever a library raises while it loads from there."""
    try:
        yield
    except PolicyError:
        raise
    except Exception as error:  # of transformers, peft, safetensors, tokenizers: each has errors of its own
        said = " ".join(str(error).split())
        raise PolicyError(
            f"{folder}: the {what} can't be loaded: expected files that fit each other, got "
            f"{type(error).__name__}: {said[:400]}; copy the model again, or give another folder"
        ) from error
