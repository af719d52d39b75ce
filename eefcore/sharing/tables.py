"""Make tables of records that the library `datasets` reads: examples, preference pairs, trajectories, search trees.

    Example      ActionRow    prompt and completion of each trained action
                 TrainingRow  with a tokenizer: input_ids and labels, as `eefcore.training.sft` trains on them
    Preference   PairRow      prompt, chosen and rejected, with log π_ref of each trained token
                 PairIdsRow   with a tokenizer: the training rows of both sides
    Trajectory   EpisodeRow   the turns as messages, the sampled ids and log-likelihoods of each action, the outcome
    Tree         EdgeRow      a proposed action: h_t as messages, the action, N(h, a), Q̃(h, a), Q̂(h, a)

Trainers of other projects learn from a whole completion, pages included. So an example is a row for each trained action
where it is text, and a pair whose completions hold pages as well says so (`pages`). Ids and labels are those of
`eefcore.training.rows` in every format; IGNORE is -100 there as here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from eefcore.errors import DataError
from eefcore.experts.foreign.exporting import chat_messages
from eefcore.rendering.formats import MESSAGES, Format, add_phrase, dialogue, load_format
from eefcore.rendering.renderer import Renderer, make_renderer
from eefcore.search.tree import Tree
from eefcore.storage.disk import write_atomically
from eefcore.storage.records import read_header, read_records
from eefcore.training.rows import make_rows
from eefcore.types import Card, Example, History, Preference, Trajectory

if TYPE_CHECKING:
    from datasets import Dataset

Record = Example | Preference | Trajectory | Tree

KINDS: Mapping[str, type[Record]] = {kind.__name__: kind for kind in (Example, Preference, Trajectory, Tree)}
"""The records that become tables, by the name in the header of their file."""

ENDINGS = (".jsonl", ".parquet")
"""The files that are written, by the end of their name."""


class Message(msgspec.Struct):
    """A turn of a dialogue."""

    role: str
    content: str


class WeightedMessage(Message):
    """A turn of a dialogue that says whether it is trained, 1 or 0."""

    weight: int


Text = str | list[Message]
"""A part of a dialogue, as text or as messages."""


class _Row(msgspec.Struct, kw_only=True):
    task_id: str
    environment: str = ""  # the name and the key of the environment's card; empty if it is unknown


class _ExampleRow(_Row):
    source: str  # who acted last
    reward: float
    n_expert: int  # the first actions, which are an expert's
    first: int  # the first trained action


class ActionRow(_ExampleRow):
    """A trained action a_step, after all that the model reads before it."""

    step: int
    prompt: Text
    completion: Text


class TrainingRow(_ExampleRow):
    """A training row; IGNORE (-100) is the label of each token that is not trained."""

    input_ids: list[int]
    labels: list[int]


class _PreferenceRow(_Row):
    step: int  # t of the state s_t from which both sides go on
    margin: float
    reason: str
    age: int  # rounds since π_ref was the model that learns
    chosen_source: str
    rejected_source: str
    chosen_reward: float
    rejected_reward: float
    chosen_logps: list[float]  # log π_ref of each trained token, end marks included; empty if not computed
    rejected_logps: list[float]


class PairRow(_PreferenceRow):
    """A preference pair; `pages` says whether a completion holds pages between its actions, which no loss should look at."""

    pages: bool
    prompt: Text
    chosen: Text
    rejected: Text


class PairIdsRow(_PreferenceRow):
    """A preference pair as training rows: one for each side, or one for each action where h_t does not grow."""

    chosen_input_ids: list[list[int]]
    chosen_labels: list[list[int]]
    rejected_input_ids: list[list[int]]
    rejected_labels: list[list[int]]


class EpisodeRow(_Row):
    """A trajectory."""

    source: str
    reward: float
    outcome: str  # win, loss, or why the episode was cut short
    n_expert: int
    sample: int
    temperature: float
    money: float
    messages: list[WeightedMessage]
    tokens: list[list[int]]  # the sampled ids of each action; empty if it was not sampled
    logps: list[list[float]]  # log π of each at temperature 1


class EdgeRow(_Row):
    """An action that was proposed in a search tree."""

    tree: int  # the number of the tree in its file
    signal: str  # what the search saw of how episodes end
    node: int
    step: int
    messages: list[Message]  # h_t
    action: str
    tokens: list[int]
    logps: list[float]
    proposals: int  # of the K proposals, those with this effect; 0 is an expert's
    N: int
    Q: float | None  # Q̃, None before the first visit
    q_hat: float  # the critic's, 0.5 where nothing was ranked
    child: int  # the node that it leads to
    observation: str  # what is seen there
    stop: str  # why the episode ends there; empty where it goes on
    reward: float | None  # R(τ) where it ends, if the search saw it


class TextForm:
    """How dialogues are written: as messages, as text, or, with a tokenizer, as the ids that are trained.

    `chat`, `agentlite_chat`, `agentgym` and `composite_chat` are the messages with which a served model is asked; every
    other format is text.
    """

    def __init__(self, name: str, tokenizer: Any = None, template_args: str | None = None) -> None:
        """Take the format called `name`.

        Raises:
            PolicyError, ParamsError: see `eefcore.rendering.formats.load_format`.
        """
        self.renderer: Renderer | None = None
        self.messages = MESSAGES.get(name)
        if tokenizer is not None:
            self.renderer = make_renderer(tokenizer, name, template_args)
            self.format: Format = self.renderer.format
        else:
            self.format = self.messages or load_format(name, None, template_args)

    def question(self, history: History) -> Any:
        """Return h_t up to where a_t is written."""
        if self.messages:
            return [Message(**turn) for turn in self.messages.messages(history)]
        pieces = self.format.pieces(history)
        return "".join(text if action is None else text + self.format.end for text, action in pieces)

    def answer(self, action: str) -> Any:
        """Return a_t as the model writes it, with the mark that ends it where that is text."""
        if self.messages:
            return [Message("assistant", action)]
        return self.format.action_text(action) + self.format.end

    def completion(self, example: Example) -> Any:
        """Return what follows h_first: its action, and up to the last trained one the pages and actions after it.

        Raises:
            DataError: several actions are trained and h_t does not grow, so that each answers a question of its own.
        """
        history, last = dialogue(example), example.end - 1
        before, question = self.question(history.at(example.first)), self.question(history.at(last))
        if question[: len(before)] != before:
            raise DataError(
                f"{history.task_id}: expected one completion, got {last - example.first + 1} actions from a_{example.first} "
                f"on, and format {self.format.name} asks for each anew; choose another --text, or a --model for training rows"
            )
        return question[len(before) :] + self.answer(history.steps[last].action)


class Written(NamedTuple):
    """What was written: the kind of the records, in words, how many there were, and the number of rows."""

    kind: str
    records: int
    rows: int


def write_dataset(
    file: Path, out: Path, *, text: str | None, tokenizer: Any = None, template_args: str | None = None
) -> Written:
    """Write the records of `file` as a table: JSON lines or Parquet, by the name of `out`.

    Args:
        file: examples, preferences, trajectories or trees of a stage.
        out: a name that ends in .jsonl or .parquet.
        text: the format of examples and preferences; None is chat.
        tokenizer: for training rows in place of text.
        template_args: arguments of its chat template.

    Raises:
        DataError: `out` has another ending, the records are of no kind that becomes a table, a format is named for
            records that have none, a record can't be written, or `datasets` is missing for Parquet.
    """
    if out.suffix not in ENDINGS:
        raise DataError(f"{out}: expected a name that ends in {' or '.join(ENDINGS)}, got {out.suffix!r}")
    header = read_header(file)
    if header.type not in KINDS:
        raise DataError(
            f"{file}: expected records of {', '.join(KINDS)}, got {header.type or 'none'} ({header.kind!r}); choose "
            "examples.jsonl, preferences.jsonl, experts.jsonl, simulations.jsonl, panel.jsonl or trees.jsonl of a stage"
        )
    kind = KINDS[header.type]
    if kind in (Trajectory, Tree) and (text is not None or tokenizer is not None):
        raise DataError(
            f"{file}: {header.kind} become messages and have no format of prompts; leave out --text and --model, or choose "
            "examples.jsonl or preferences.jsonl"
        )
    form = TextForm(text or "chat", tokenizer, template_args)
    records = read_records(file, kind).list
    rows = table_rows(records, form, card=header.card)
    if out.suffix == ".parquet":
        to_dataset(rows, form).to_parquet(buffer := BytesIO())
        write_atomically(out, buffer.getvalue())
    else:
        write_atomically(out, b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return Written(header.kind, len(records), len(rows))


def table_rows(records: Sequence[Record], form: TextForm, *, card: Card | None) -> Sequence[_Row]:
    """Return the rows of records of one kind, made in the environment of that card.

    Raises:
        DataError: see `TextForm.completion`.
        FormatError, MaskError: see `eefcore.training.rows.make_rows`.
    """
    out: list[_Row] = []
    for number, record in enumerate(records):
        if isinstance(record, Example):
            out += _example_rows(record, form)
        elif isinstance(record, Preference):
            out.append(_preference_row(record, form))
        elif isinstance(record, Trajectory):
            out.append(_episode_row(record))
        else:
            out += _edge_rows(record, number)
    for row in out:
        row.environment = f"{card.name} {card.key}" if card else ""
    return out


def to_dataset(rows: Sequence[_Row], form: TextForm) -> Dataset:
    """Return rows as a `datasets.Dataset`, whose columns have the same types whatever the rows hold.

    Raises:
        DataError: the package `datasets` is not installed.
    """
    try:
        from datasets import Dataset
    except ImportError as error:
        raise DataError(
            f"Parquet needs the package datasets ({error}); pip install -e '.[data]', or choose a name that ends in .jsonl"
        ) from error
    features = _feature(type(rows[0]), messages=form.messages is not None)
    return Dataset.from_list([msgspec.to_builtins(row) for row in rows], features=features)


def _feature(annotation: Any, *, messages: bool) -> Any:
    """Return a type in the words of `datasets`."""
    from datasets import Features, List, Value

    names = {str: "string", int: "int64", float: "float64", bool: "bool"}
    if annotation in names:
        return Value(names[annotation])
    if annotation == Text:
        return _feature(list[Message] if messages else str, messages=messages)
    if get_origin(annotation) is list:
        return List(_feature(*get_args(annotation), messages=messages))
    if isinstance(annotation, UnionType):  # with None, which any column may hold
        return _feature(get_args(annotation)[0], messages=messages)
    fields = {
        name: _feature(hint, messages=messages)
        for name, hint in get_type_hints(annotation).items()
        if name in annotation.__struct_fields__
    }
    return Features(fields) if issubclass(annotation, _Row) else fields


def _example_rows(example: Example, form: TextForm) -> Iterator[_ExampleRow]:
    trajectory = example.trajectory
    about: dict[str, Any] = {
        "task_id": trajectory.task_id,
        "source": trajectory.source,
        "reward": trajectory.reward,
        "n_expert": trajectory.n_expert,
        "first": example.first,
    }
    if form.renderer:
        for tokens, labels in make_rows(example, form.renderer):
            yield TrainingRow(**about, input_ids=tokens, labels=labels)
        return
    history = add_phrase(trajectory.history, example.phrase)
    for i in example.trained_indices:
        prompt, completion = form.question(history.at(i)), form.answer(history.steps[i].action)
        yield ActionRow(**about, step=i, prompt=prompt, completion=completion)


def _preference_row(preference: Preference, form: TextForm) -> _PreferenceRow:
    chosen, rejected = preference.chosen, preference.rejected
    about: dict[str, Any] = {
        "task_id": chosen.trajectory.task_id,
        "step": chosen.first,
        "margin": preference.margin,
        "reason": preference.reason,
        "age": preference.age,
        "chosen_source": chosen.trajectory.source,
        "rejected_source": rejected.trajectory.source,
        "chosen_reward": chosen.trajectory.reward,
        "rejected_reward": rejected.trajectory.reward,
        "chosen_logps": list(preference.chosen_logps),
        "rejected_logps": list(preference.rejected_logps),
    }
    if form.renderer:
        sides = [make_rows(side, form.renderer) for side in (chosen, rejected)]
        (chosen_ids, chosen_labels), (rejected_ids, rejected_labels) = (
            ([row.tokens for row in side], [row.labels for row in side]) for side in sides
        )
        return PairIdsRow(
            **about,
            chosen_input_ids=chosen_ids,
            chosen_labels=chosen_labels,
            rejected_input_ids=rejected_ids,
            rejected_labels=rejected_labels,
        )
    return PairRow(
        **about,
        pages=any(side.end > side.first + 1 for side in (chosen, rejected)),
        prompt=form.question(dialogue(chosen).at(chosen.first)),
        chosen=form.completion(chosen),
        rejected=form.completion(rejected),
    )


def _episode_row(trajectory: Trajectory) -> EpisodeRow:
    steps = trajectory.history.steps
    return EpisodeRow(
        task_id=trajectory.task_id,
        source=trajectory.source,
        reward=trajectory.reward,
        outcome=trajectory.outcome,
        n_expert=trajectory.n_expert,
        sample=trajectory.sample,
        temperature=trajectory.temperature,
        money=trajectory.money,
        messages=[
            WeightedMessage(t["role"], t["content"], t.get("weight", 0)) for t in chat_messages(trajectory)
        ],
        tokens=[[*step.tokens] for step in steps],
        logps=[[*step.logps] for step in steps],
    )


def _edge_rows(tree: Tree, number: int) -> Iterator[EdgeRow]:
    for k, node in enumerate(tree.nodes):
        history = tree.history(k)
        turns = chat_messages(Trajectory(history=history, reward=0.0))
        messages = [Message(turn["role"], turn["content"]) for turn in turns]
        for edge in node.edges:
            child = tree.nodes[edge.child]
            yield EdgeRow(
                task_id=tree.task_id,
                tree=number,
                signal=tree.signal.value,
                node=k,
                step=len(history),
                messages=messages,
                action=edge.reply.action,
                tokens=[*edge.reply.tokens],
                logps=[*edge.reply.logps],
                proposals=edge.proposals,
                N=edge.N,
                Q=edge.total / edge.N if edge.N else None,
                q_hat=edge.q_hat,
                child=edge.child,
                observation=child.observation,
                stop=child.stop.value if child.stop else "",
                reward=child.reward,
            )
