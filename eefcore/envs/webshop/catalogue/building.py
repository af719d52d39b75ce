"""The built form of a catalogue, in a cache by content: made once, by whoever asks first, then only opened.

    <cache>/webshop/<content>.<FORM>/   entries, ids, listings and index of the two files with that content
    <cache>/webshop/.seen/              the content of large files by path, size and times, so that a start doesn't read them

`content` hashes both files. A form is written under another name and renamed when it is whole. A lock
lets one process build while others wait for what it builds; a build that was killed leaves nothing that counts.
"""

from __future__ import annotations

import fcntl
import shutil
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from tqdm import tqdm

from eefcore.envs.webshop.catalogue.listing import ListingWriter
from eefcore.envs.webshop.catalogue.loading import ProductReader, only_file
from eefcore.envs.webshop.lucene.indexing import IndexWriter
from eefcore.errors import DataError, StoreError
from eefcore.storage.hashing import LARGE, default_cache, digest, file_content

FORM = "1"
"""Of a built form's files, and of how texts are cut into terms: when it changes, forms are built anew."""

_BATCH = 2048  # products indexed at a time


def built(folder: Path, cache: Path | None) -> Path:
    """The folder of the built form of the official files in `folder`; builds it where there is none.

    Raises:
        DataError: a file is missing or damaged, or a product lacks what it needs.
        StoreError: the cache can't be written, or a form in it is damaged.
    """
    items, ins = only_file(folder, "items_shuffle*.json"), only_file(folder, "items_ins_v2*.json")
    root = (cache or default_cache()) / "webshop"
    try:
        (root / ".seen").mkdir(parents=True, exist_ok=True)
        content = digest(_content(items, root / ".seen"), _content(ins, root / ".seen"))[:16]
        form = root / f"{content}.{FORM}"
        if not form.exists():
            with _alone(root / f".{form.name}.lock"):
                if not form.exists():
                    _build(items, ins, form)
        _check(form)
    except OSError as error:
        raise StoreError(
            f"{root}: {error}; free space or rights there are needed to build the catalogue once, or another folder "
            "in EEF_CACHE"
        ) from error
    return form


def _content(path: Path, notes: Path) -> str:
    try:
        return file_content(path, notes)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a file that can be read") from error


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time; the system lets go of the lock of a process that dies."""
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(items: Path, ins: Path, form: Path) -> None:
    for left in form.parent.glob(f".{form.name}.building*"):  # by a process that was killed: the lock is ours
        shutil.rmtree(left)
    making = form.with_name(f".{form.name}.building")
    making.mkdir()
    try:
        reader = ProductReader(items, ins)
        size = items.stat().st_size
        with tqdm(
            total=size, unit="B", unit_scale=True, desc="building the catalogue", disable=size < LARGE
        ) as bar:
            _write(reader, making, bar)
        if not (making / "sizes.json").exists():
            raise DataError(f"{items.name}: holds no product ({reader.skipped}); download or write it again")
        making.rename(form)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def _write(reader: ProductReader, folder: Path, bar: tqdm) -> None:
    """Writes the form of what `reader` yields; `sizes.json` comes last, and not for no product."""
    encode = msgspec.msgpack.Encoder().encode
    listings = {kind: ListingWriter() for kind in ("attribute", "category", "query")}
    ids: list[bytes] = []
    lengths = array("Q")
    batch: list[str] = []
    with IndexWriter(folder) as index:
        with open(folder / "entries", "wb") as entries:
            for row, entry in enumerate(reader):
                ids.append(entry.asin.encode())
                lengths.append(entries.write(encode(entry)))
                listings["category"].add(row, entry.category)
                listings["query"].add(row, entry.query)
                for attribute in dict.fromkeys(entry.attributes):
                    listings["attribute"].add(row, attribute)
                batch.append(entry.text)
                if len(batch) == _BATCH:
                    index.add(batch)
                    bar.update(reader.position - bar.n)
                    batch = []
        if not ids:
            return
        if batch:
            index.add(batch)
        names = np.array(ids)
        rows = np.argsort(names, kind="stable").astype(np.uint32)
        index.finish(rows)
    for kind, listing in listings.items():
        listing.finish(folder, kind)
    numbers = np.empty_like(rows)
    numbers[rows] = np.arange(len(rows), dtype=np.uint32)
    ends = np.cumsum(np.array(lengths, np.uint64))
    for name, column in (("ids", names[rows]), ("rows", rows), ("numbers", numbers), ("entry_ends", ends)):
        np.save(folder / f"{name}.npy", column)
    (folder / "skipped.json").write_bytes(msgspec.json.encode(reader.skipped))
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    (folder / "sizes.json").write_bytes(msgspec.json.encode(sizes))


def _check(form: Path) -> None:
    """A form is whole when it has its name; what happened to it later shows in its sizes."""
    sizes = msgspec.json.decode((form / "sizes.json").read_bytes(), type=dict[str, int])
    for name, size in sizes.items():
        path = form / name
        if not path.exists() or path.stat().st_size != size:
            got = f"{path.stat().st_size} bytes" if path.exists() else "no such file"
            raise StoreError(
                f"{path}: expected {size} bytes, got {got}; the cache was damaged. Delete {form}; it is built anew"
            )
