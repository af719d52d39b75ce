"""Find the files of a model and of the base that an adapter was trained on, and check them before a library reads them.

A model is named by a folder, by the folder of a LoRA adapter, by a name of the model store (`model_store`), or by a name
on the Hugging Face hub. An adapter names its base; that is looked up from the adapter's own folder and never from the
folder in which a program happens to run, and `base.json` beside the adapter holds hashes of the base, so that another
model in its place is refused.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from eefcore.errors import UNDECODABLE, PolicyError, StoreError
from eefcore.storage import stages
from eefcore.storage.hashing import cache_folder, digest, hash_file
from eefcore.storage.outputs import check_part
from eefcore.training import model_store

Note = TypeVar("Note")

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BASE = "base.json"
_INDEX = "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
_UNSTABLE = {"_name_or_path", "base_model_name_or_path", "transformers_version", "peft_version", "torch_dtype", "dtype", "inference_mode"}  # fmt: skip


class Source(NamedTuple):
    """A model on this machine: the absolute folder, stored name or hub name that names it, and the folder of its files."""

    name: str
    folder: Path

    @property
    def from_hub(self) -> bool:
        return self.name != str(self.folder)


class ModelFiles(NamedTuple):
    """A base model and, if there is one, the folder of the adapter that is trained on it."""

    base: Source
    adapter: Path | None

    @property
    def tokenizer(self) -> Path:
        """Return the adapter's folder if a tokenizer was saved there, or else the base's."""
        return self.adapter if self.adapter and has_tokenizer(self.adapter) else self.base.folder


class BaseRecord(msgspec.Struct):
    """The base that an adapter was trained on: its name, and hashes of its config and, unless it is from the hub, weights.

    The hub itself keeps weights fixed. A stored model is known by the hash of what it was made of.
    """

    name: str
    config: str
    weights: str | None = None

    def matches(self, other: BaseRecord) -> bool:
        """Return whether both are the same model, as far as both were hashed."""
        hashed = self.weights is not None and other.weights is not None
        return self.config == other.config and (not hashed or self.weights == other.weights)

    def __str__(self) -> str:
        weights = f", weights {self.weights[:12]}" if self.weights else ""
        return f"{self.name} (config {self.config[:12]}{weights})"


def find_files(
    path: str | Path, adapter: str | Path | None = None, *, local_files_only: bool = False
) -> ModelFiles:
    """Find the files of the model that `path` names, and those of its base if `path` is an adapter.

    Args:
        path: a stored name; a folder, absolute or from the workspace; or else a hub name. With `adapter`, the adapter's base.
        adapter: the folder or the hub name of an adapter.
        local_files_only: a hub name is looked up in the hub's cache alone.

    Raises:
        PolicyError: there is no such model, the adapter's base is not found, or the adapter has another base.
    """
    given = find_source(path, local_files_only=local_files_only)
    if adapter is None:
        if not is_adapter(given.folder):
            return ModelFiles(given, None)
        base, folder = recorded_base(given.folder, local_files_only=local_files_only), given.folder
    else:
        base, folder = given, find_source(adapter, local_files_only=local_files_only).folder
        read_json(folder / ADAPTER)
    _check_base(folder, base, given=adapter is not None)
    return ModelFiles(base, folder)


def read_settings(path: str | Path, *, local_files_only: bool = False) -> tuple[Source, dict[str, Any]]:
    """Read the config of a model, or of an adapter's base, as it is written; return where it is as well.

    Raises:
        PolicyError: there is no such model, or its config can't be read.
    """
    base = find_files(path, local_files_only=local_files_only).base
    if is_adapter(base.folder):
        return read_settings(base.folder, local_files_only=local_files_only)
    return base, read_json(base.folder / CONFIG)


def find_source(path: str | Path, *, local_files_only: bool = False) -> Source:
    """Find the folder of the model that `path` names; of a stored or a hub name, its files in a cache.

    Raises:
        PolicyError: there is neither such a folder nor such a name, or the stage that wrote it wrote other files.
    """
    if isinstance(path, str) and model_store.is_stored(path):
        return Source(path, model_store.find_model(path, fetch=not local_files_only))
    folder = Path(path) if isinstance(path, Path) else stages.workspace() / path
    if folder.is_dir():
        try:
            check_part(folder.resolve())
        except StoreError as error:
            raise PolicyError(f"{folder}: no model can be read there: {error}") from error
        return Source(str(folder.resolve()), folder.resolve())
    if isinstance(path, Path) or folder == Path(path):
        raise PolicyError(
            f"{path}: no model can be read there: expected a folder, got {'a file' if folder.exists() else 'nothing'}; "
            f"give a folder with {CONFIG}, model.safetensors and a tokenizer, or a name on the Hugging Face hub"
        )
    return _hub(path, local_files_only=local_files_only)


def recorded_base(adapter: Path, *, local_files_only: bool = False) -> Source:
    """Find the base that an adapter names: a stored or hub name, or a folder, absolute or from its own or its workspace.

    Raises:
        PolicyError: the adapter names none, or there is no such base.
    """
    name = read_json(adapter / ADAPTER).get("base_model_name_or_path")
    if not name or not isinstance(name, str):
        raise PolicyError(
            f"{adapter}: the adapter names no base: expected base_model_name_or_path in {ADAPTER}, got {name!r}; "
            "load the base and give this folder as its adapter"
        )
    if model_store.is_stored(name):
        return find_source(name, local_files_only=local_files_only)
    workspace = [p for p in adapter.parents if (p / "notebooks").is_dir() and (p / "params").is_dir()][:1]
    places = [place / name for place in (adapter, *workspace)]
    if place := next((p.resolve() for p in places if p.is_dir()), None):
        return Source(str(place), place)
    try:
        if Path(name).is_absolute() or name.startswith("."):
            raise PolicyError("it is a folder's name")
        return _hub(name, local_files_only=local_files_only)
    except PolicyError as error:
        looked = ", ".join(dict.fromkeys(str(p) for p in places))
        raise PolicyError(
            f"{adapter}: the adapter's base {name!r} is not found: expected a folder at {looked}, or a hub name "
            f"({error}); move the base there, or load it and give this folder as its adapter"
        ) from error


def describe_base(source: Source) -> BaseRecord:
    """Return the name of a model with hashes of its config and, unless it is from the hub, of its weights."""
    if model_store.is_stored(source.name):
        content = model_store.model_content(source.name)
        return BaseRecord(source.name, content, content)
    config = source.folder / (ADAPTER if is_adapter(source.folder) else CONFIG)
    settings = {k: v for k, v in read_json(config).items() if k not in _UNSTABLE}
    record = BaseRecord(source.name, digest(json.dumps(settings, sort_keys=True)))
    if not source.from_hub:
        notes, files = cache_folder() / "seen", sorted(source.folder.glob("*.safetensors"))
        record.weights = digest(*(text for file in files for text in (file.name, hash_file(file, notes))))
    return record


def read_note(path: Path, type: type[Note], what: str) -> Note | None:
    """Return a note that `save_model` left beside a model; None of a model made elsewhere.

    Raises:
        PolicyError: it can't be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=type) if path.is_file() else None
    except UNDECODABLE as error:
        raise PolicyError(f"{path}: expected {what}, got {error}; save the model again") from error


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
        if not isinstance(content, dict):
            raise ValueError(type(content).__name__)
    except OSError as error:
        files = ", ".join(sorted(p.name for p in path.parent.iterdir())[:8]) or "nothing"
        raise PolicyError(
            f"{path.parent}: no model can be read there: expected {path.name} ({error.strerror}), got {files}; {advice}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise PolicyError(
            f"{path.parent}: {path.name} can't be read: expected a JSON object, got {error}; {advice}"
        ) from error
    return content


def check_weights(folder: Path, pattern: str = "model*.safetensors") -> None:
    """Check that the weights in `folder` are safetensors, all of them there and none of them torn.

    Raises:
        PolicyError: one is missing or torn, or there are only pickled weights, which can run code when they are read.
    """
    from safetensors import SafetensorError, safe_open

    files = {p.name for p in folder.glob(pattern)}
    if not files:
        found = sorted(p.name for p in folder.iterdir())
        pickled = [name for name in found if name.endswith(_PICKLES)]
        raise PolicyError(
            f"{folder}: expected weights as {pattern}, got {', '.join((pickled or found)[:8])}; "
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
        reason = " ".join(str(error).split())
        raise PolicyError(
            f"{folder}: the {what} can't be loaded: expected files that fit each other, got "
            f"{type(error).__name__}: {reason[:400]}; copy the model again, or give another folder"
        ) from error


def _hub(name: str, *, local_files_only: bool) -> Source:
    """Find, or fetch, the snapshot of a hub name: its JSON, safetensors and tokenizer, never code or pickles."""
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            name,
            allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"],
            ignore_patterns=["*/*", "consolidated*"],
            local_files_only=local_files_only,
        )
    except Exception as error:  # of three libraries: no network, no right, no such name
        raise PolicyError(
            f"{name}: no model can be read there: expected a folder of that name in the workspace {stages.workspace()}, "
            f"a name of `eef model list`, or one that the hub or its cache gives, got {str(error).strip().partition(chr(10))[0]}; check the "
            "name, or download it first with `hf download`"
        ) from error
    return Source(name, Path(folder))


def _check_base(adapter: Path, base: Source, *, given: bool) -> None:
    """Check that `base` is what the adapter was trained on, from its record or from the base that it names."""
    record = read_note(adapter / BASE, BaseRecord, "the record of the adapter's base")
    if record is None and given:
        try:
            record = describe_base(recorded_base(adapter, local_files_only=True))
        except PolicyError:
            name = read_json(adapter / ADAPTER).get("base_model_name_or_path")
            if base.from_hub and name and name != base.name:
                record = BaseRecord(str(name), "unknown")
            elif name != base.name:
                warnings.warn(
                    f"{adapter}: the adapter's base {name!r} is not on this machine, so it can't be checked "
                    f"that {base.name} is the same model",
                    stacklevel=2,
                )
    if record is not None and not record.matches(actual := describe_base(base)):
        raise PolicyError(
            f"{adapter}: expected the base that the adapter was trained on, {record}, got another model, "
            f"{actual}; give its own base, or train the adapter again on this one"
        )
