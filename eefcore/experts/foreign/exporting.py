"""Write examples for other projects' trainers, trained from the same action on as with ours.

OpenAI chat JSON lines   messages; an assistant's `weight` is 1 from a_first on and 0 before
Hugging Face datasets    messages, and the same tokens and labels on which `eefcore.training.sft` trains
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

import msgspec

from eefcore.rendering.formats import dialogue
from eefcore.rendering.renderer import Renderer
from eefcore.storage.disk import write_atomically
from eefcore.training.rows import make_row
from eefcore.types import Example

if TYPE_CHECKING:
    from datasets import Dataset


class Message(TypedDict):
    """One turn of a conversation; only an assistant's has a `weight`."""

    role: str
    content: str
    weight: NotRequired[int]


def chat_messages(example: Example, *, prompt: str = "") -> list[Message]:
    """Return o_t as the user's turns and a_t as the assistant's, up to the last trained action; `prompt` opens o_0."""
    out: list[Message] = []
    for i, step in enumerate(dialogue(example).steps):
        out += [
            {"role": "user", "content": step.observation if i else prompt + step.observation},
            {"role": "assistant", "content": step.action, "weight": int(i in example.trained_indices)},
        ]
    return out


def export_openai(examples: Sequence[Example], path: Path, *, prompt: str = "") -> None:
    """Write examples to `path` in the format of OpenAI's fine-tuning API, a line each; `read_foreign` reads it back.

    The API takes no other field than the messages, so ids and rewards are left out.
    """
    encode = msgspec.json.Encoder().encode
    write_atomically(
        path, b"".join(encode({"messages": chat_messages(e, prompt=prompt)}) + b"\n" for e in examples)
    )


def to_dataset(examples: Sequence[Example], renderer: Renderer, *, prompt: str = "") -> Dataset:
    """Return a `datasets.Dataset` with a row for each example: source, reward, messages, tokens and labels.

    `input_ids` and `labels` are those of `eefcore.training.rows.make_row`, so any Hugging Face trainer that keeps these
    columns trains on exactly what ours does; IGNORE is its -100.

    Raises:
        MaskError: an example trains nothing, or text that is not its action.
    """
    from datasets import Dataset

    rows = [make_row(e, renderer) for e in examples]
    trajectories = [e.trajectory for e in examples]
    return Dataset.from_dict(
        {
            "task_id": [t.task_id for t in trajectories],
            "source": [t.source for t in trajectories],
            "reward": [t.reward for t in trajectories],
            "n_expert": [t.n_expert for t in trajectories],
            "first": [e.first for e in examples],
            # A column holds one kind of row: Arrow would give the user's turns a null weight.
            "messages": [
                [{"role": m["role"], "content": m["content"]} for m in chat_messages(e, prompt=prompt)]
                for e in examples
            ],
            "input_ids": [r.tokens for r in rows],
            "labels": [r.labels for r in rows],
        }
    )
