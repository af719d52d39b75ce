"""A small run of two methods for the page of trajectories, and the content of a page read back."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.storage.records import write_records
from eefcore.types import Example, Preference
from helpers.episodes import CARD, by_back, by_next, naive

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def write_stage(root: Path, label: str, inputs=None, params=None, **records) -> str:
    """Write a finished stage with files of `records` into the folder of a run, and return its identity."""
    identity = f"{len(list(root.rglob('stage.json'))):08x}"
    folder = root / f"{label}-{identity}"
    folder.mkdir(parents=True)
    for name, content in records.items():
        write_records(folder / f"{name}.jsonl", content, kind=name, card=CARD)
    finished = NOW + timedelta(seconds=int(identity, 16))
    record = stages.StageRecord(
        label=label, notebook="", params=params or {}, inputs=inputs or {}, identity=identity, card=CARD, cost=Cost(),
        metrics={}, packages={}, seconds=1.0, attempts=1, started=NOW, finished=finished,
    )  # fmt: skip
    stages.write_record(folder, record)
    return identity


def write_run(root: Path) -> None:
    """Write a run: demonstrations, what two methods learned from them, and what each played on the test set."""
    experts = [by_next(t, 1.0 if t in "ab" else 0.0, source="strong", n_expert=8) for t in "abcd"]
    played = [by_back("c"), naive("d")]
    demonstrations = write_stage(root, "expert", experts=experts, panel=[])
    cloned = write_stage(
        root, "select.1", {"experts": demonstrations}, examples=[Example(t) for t in experts[:2]]
    )
    model = write_stage(root, "train.1", {"examples": cloned})
    explored = write_stage(root, "explore.1", {"model": model, "experts": demonstrations}, simulations=played)
    recovered = write_stage(
        root,
        "select.2",
        {"simulations1": explored},
        examples=[*map(Example, experts[:2]), Example(played[0], 5)],
    )
    pairs = [Preference(chosen=Example(played[0]), rejected=Example(naive("c")), margin=0.3)]
    preferred = write_stage(root, "preferences.2", {"simulations": explored}, preferences=pairs)
    tests = [
        write_stage(root, "evaluate.test", {"model1": model}, panel=[play(t, 1.0) for t in "ef"])
        for play in (naive, by_next)
    ]
    reads = {
        "SFT": {"experts": demonstrations, "select1": cloned, "model1": model, "test": tests[0]},
        "EEF": {"experts": demonstrations, "select2": recovered, "simulations1": explored, "test": tests[1]},
        "ETO": {"experts": demonstrations, "preferences2": preferred, "simulations1": explored},
    }
    inputs = {f"{method}/{name}": of for method, own in reads.items() for name, of in own.items()}
    write_stage(root, "report", inputs)


class PageContent(HTMLParser):
    """The blocks of a page by name, and its scripts that are code."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.blocks: dict = {}
        self.code: list[str] = []
        self.attributes: list[str] = []
        self._inside: dict = {}
        self.feed(html)
        self.index = self.blocks["index"]

    def handle_starttag(self, tag, attrs):
        self.attributes += [name for name, _ in attrs]
        self._inside = dict(attrs) if tag == "script" else {}
        if tag == "script" and "type" not in self._inside:
            self.code.append("")

    def handle_endtag(self, tag):
        self._inside = {}

    def handle_data(self, data):
        if "type" in self._inside:
            name = self._inside["id"].removeprefix("block-")
            self.blocks[name] = json.loads(gzip.decompress(base64.b64decode(data)))
        elif self.code and self._inside == {} and not self.code[-1]:
            self.code[-1] = data

    def all(self, kind: str) -> list:
        """Every item of the blocks of one kind, in order."""
        names = [f"{kind}{i}" for i in range(len(self.blocks)) if f"{kind}{i}" in self.blocks]
        return [item for name in names for item in self.blocks[name]]

    def column(self, name: str, of: str = "") -> list:
        """A column of the episodes, in names if it has some."""
        values = self.index["columns"][name]
        return [self.index["names"][of][v] for v in values] if of else values
