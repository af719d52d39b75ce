"""Build a catalogue once from the official files, in a cache by content; later starts only open it.

    <cache>/webshop/<content>.<FORMAT>/   entries, ids, listings and index of the two files with that content
    <cache>/webshop/.seen/                notes on the hashes of large files (`hashing.hash_file`)

A catalogue is written under another name and renamed when it is complete, so a build that is killed leaves nothing
that would be opened. A lock lets one process build while the others wait.
"""

from __future__ import annotations

import shutil
from array import array
from pathlib import Path

import msgspec
import numpy as np
from tqdm import tqdm

from eefcore.envs.webshop.catalogue.listing import ListingWriter
from eefcore.envs.webshop.catalogue.loading import PRODUCT_FILES, ProductReader, only_file
from eefcore.envs.webshop.lucene.indexing import IndexWriter
from eefcore.errors import DataError, StoreError
from eefcore.storage.disk import locked
from eefcore.storage.hashing import LARGE, cache_folder, digest, hash_file

FORMAT = "1"
"""The version of the files of a built catalogue, and of how texts are cut into terms; a new one builds anew."""

_BATCH = 2048  # products indexed at a time


def build_once(folder: Path, cache: Path | None) -> Path:
    """Return the folder of the catalogue built from the official files in `folder`; build it if there is none."""
    items, ins = (only_file(folder, pattern) for pattern in PRODUCT_FILES)
    root = (cache or cache_folder()) / "webshop"
    try:
        (root / ".seen").mkdir(parents=True, exist_ok=True)
        content = digest(_content_hash(items, root / ".seen"), _content_hash(ins, root / ".seen"))[:16]
        target = root / f"{content}.{FORMAT}"
        if not target.exists():
            with locked(root / f".{target.name}.lock"):
                if not target.exists():
                    _build(items, ins, target)
        _check(target)
    except OSError as error:
        raise StoreError(
            f"{root}: {error}; free space or rights there are needed to build the catalogue once, or another folder "
            "in EEF_CACHE"
        ) from error
    return target


def _content_hash(path: Path, notes: Path) -> str:
    try:
        return hash_file(path, notes)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a file that can be read") from error


def _build(items: Path, ins: Path, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.building")
    if unfinished.exists():  # left by a process that was killed, since we hold the lock
        shutil.rmtree(unfinished)
    unfinished.mkdir()
    try:
        reader = ProductReader(items, ins)
        size = items.stat().st_size
        with tqdm(
            total=size, unit="B", unit_scale=True, desc="building the catalogue", disable=size < LARGE
        ) as bar:
            _write(reader, unfinished, bar)
        if not (unfinished / "sizes.json").exists():
            raise DataError(f"{items.name}: holds no product ({reader.skipped}); download or write it again")
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _write(reader: ProductReader, folder: Path, bar: tqdm) -> None:
    """Write the built catalogue of the products of `reader`; `sizes.json` comes last, and only if there is a product."""
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


def _check(target: Path) -> None:
    """Check the sizes of the files: a catalogue was complete when it got its name, and may have been damaged since."""
    sizes = msgspec.json.decode((target / "sizes.json").read_bytes(), type=dict[str, int])
    for name, size in sizes.items():
        path = target / name
        if not path.exists() or path.stat().st_size != size:
            got = f"{path.stat().st_size} bytes" if path.exists() else "no such file"
            raise StoreError(
                f"{path}: expected {size} bytes, got {got}; the cache was damaged. Delete {target}; it is built anew"
            )
