"""Examples for other people's trainers: trained from the same action on as ours.

OpenAI chat JSON lines   messages; an assistant's `weight` is 1 from a_first on and 0 before
Hugging Face datasets    messages, and the very tokens and labels that `eefcore.training.sft` sees
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

import msgspec

from eefcore.rendering.formats import dialogue
from eefcore.rendering.renderer import Renderer
from eefcore.storage.disk import write_atomically
from eefcore.training.rows import row
from eefcore.types import Example

if TYPE_CHECKING:
    from datasets import Dataset


class Message(TypedDict):
    """One turn; `weight` stands beside an assistant's only."""

    role: str
    content: str
    weight: NotRequired[int]


def messages(example: Example, *, prompt: str = "") -> list[Message]:
    """o_t as the user's turns and a_t as the assistant's, ending with the last trained action; `prompt` opens o_0."""
    out: list[Message] = []
    for i, step in enumerate(dialogue(example).steps):
        out += [
            {"role": "user", "content": step.observation if i else prompt + step.observation},
            {"role": "assistant", "content": step.action, "weight": int(i in example.trained_indices)},
        ]
    return out


def export_openai(examples: Sequence[Example], path: Path, *, prompt: str = "") -> None:
    """`path` in the format of OpenAI's fine-tuning API, a line an example; `read_foreign` reads it back.

    The API takes no other field than the messages, so ids and rewards stay here.
    """
    encode = msgspec.json.Encoder().encode
    write_atomically(
        path, b"".join(encode({"messages": messages(e, prompt=prompt)}) + b"\n" for e in examples)
    )


def to_dataset(examples: Sequence[Example], renderer: Renderer, *, prompt: str = "") -> Dataset:
    """A `datasets.Dataset`, a row an example: who, how well, the messages, the tokens and the labels.

    `input_ids` and `labels` are those of `eefcore.training.rows.row`, so any Hugging Face trainer that keeps
    these columns trains on exactly what ours does; IGNORE is its -100.

    Raises:
        MaskError: an example trains nothing, or something that is not its action.
    """
    from datasets import Dataset

    rows = [row(e, renderer) for e in examples]
    ts = [e.trajectory for e in examples]
    return Dataset.from_dict(
        {
            "task_id": [t.task_id for t in ts],
            "source": [t.source for t in ts],
            "reward": [t.reward for t in ts],
            "n_expert": [t.n_expert for t in ts],
            "first": [e.first for e in examples],
            # A column holds one kind of row: Arrow would give the user's turns a weight of null.
            "messages": [_unweighted(messages(e, prompt=prompt)) for e in examples],
            "input_ids": [r.tokens for r in rows],
            "labels": [r.labels for r in rows],
        }
    )


def _unweighted(turns: list[Message]) -> list[Message]:
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]
