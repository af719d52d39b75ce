"""Finished stages written by hand."""

from __future__ import annotations

from datetime import UTC, datetime

from eefcore.policies.tiny import make_tokenizer
from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.storage.records import write_records
from eefcore.types import Card, Example, History
from helpers.episodes import CARD, by_next, naive

ELSEWHERE = Card("tiny shop", {**CARD.facts, "products": 601})


TASKS = tuple("abcdefgh")


FREE = Cost()


NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Folders:
    """Finished stages in a folder, written as stages write them."""

    def __init__(self, root):
        self.root = root
        self.stages = {}

    def stage(self, name, *, cost=FREE, card=CARD, metrics=None, params=None, **records):
        """Write the finished stage `name` with files of `records`, and return its folder."""
        folder = self.root / name.replace("/", "-")
        folder.mkdir(parents=True)
        for file, content in records.items():
            write_records(folder / f"{file}.jsonl", content, kind=file, card=card)
        record = stages.StageRecord(
            label=name, notebook="", params=params or {}, inputs={}, identity=name, card=card, cost=cost,
            metrics=metrics or {}, packages={"eefcore": "0.1"}, seconds=cost.seconds, attempts=1, started=NOW, finished=NOW,
        )  # fmt: skip
        stages.write_record(folder, record)
        self.stages[name] = folder
        return folder

    def method(
        self,
        name,
        wins="",
        *,
        iterations=1,
        example=None,
        card=CARD,
        expert_card=CARD,
        acts=None,
        panel=None,
        experts=None,
    ):
        """Write all stages of a method that wins the tasks in `wins` on both panels, at one cost each stage.

        `panel` and `experts` are what it and its experts play, in place of that.
        """
        panel = panel or [naive(t, 1.0 if t in wins else 0.5) for t in TASKS]
        shared = experts or [by_next(t, 1.0 if t in "ab" else 0.0, source="strong") for t in TASKS]
        self.stage(
            f"{name}/experts",
            cost=Cost(money=10.0, seconds=1.0),
            card=expert_card,
            panel=shared,
            experts=shared,
            tasks=[History(t.task_id, "a task") for t in shared],
        )
        for i in range(1, iterations + 1):
            if i > 1:
                self.stage(
                    f"{name}/simulations{i - 1}",
                    cost=Cost(episodes=100, env_steps=700, seconds=8.0),
                    simulations=panel,
                )
            self.stage(
                f"{name}/select{i}", cost=Cost(seconds=0.5), examples=[example or Example(by_next("a"))]
            )
            model = self.stage(f"{name}/model{i}", cost=Cost(tokens_trained=1000, seconds=4.0))
            self.tokenizer.save_pretrained(model / "model")
            self.stage(f"{name}/dev{i}", cost=Cost(episodes=8, seconds=99.0), panel=panel[: 2 * i])
        self.stage(
            f"{name}/test",
            cost=Cost(episodes=40 if acts else 8, seconds=99.0),
            card=card,
            params=acts,
            panel=panel,
        )

    tokenizer = make_tokenizer(["WEB PAGE: {\n[Back to Search] }"], vocabulary=300)
