"""Parse the trajectory files of other projects, record by record, as they are.

    react      JSON lines of {idx, reward, bought, steps: [{action, obs}]}                   ysymyth/ReAct
    agentgym   JSON of {item_id, conversations: [{from, value, loss}]}, reward if evaluated  AgentTraj-L
    eto        JSON of {id, conversations: [{from, value}]}, reward for WebShop; or a folder
               with a file a task, {meta: {reward, terminate_reason}, conversations}         ETO
    sharegpt   JSON of {conversations: [{from, value}]}, alone or with id and reward         ShareGPT
    openai     JSON lines of {messages: [{role, content, weight}]}                           fine-tuning API
    agentlite  text: Task:…, then Action:NAME[{json}] and Observation:… in turns             AgentLite

Texts stay as they are: an action is the whole message (`Thought: … Action: …`), and a thought step of ReAct is an
action. Messages before the task (role, rules, worked examples) are left out, since our formats write their own.

A turn's text may be content in parts, and a tool call is the action `name[{json}]` that AgentLite would write. A turn
of `loss: false` or `weight: 0` is not trained. Other weights than 0 and 1 are refused: the loss counts a token or does
not. A record without an id is called by its number in the file, from 0.

A record that can't be read costs itself: it is left out, with its line and the reason, and the others are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from eefcore.errors import UNDECODABLE, DataError, EefError
from eefcore.types import StopReason


class Place(NamedTuple):
    """The place of a record: its file, its number in it from 0, and where that is in words, `:3` or `, record 2`."""

    path: Path
    number: int
    where: str

    def __str__(self) -> str:
        return f"{self.path}{self.where}"

    def within_folder(self) -> str:
        """Return the place without the folder, which is one of this machine."""
        return f"{self.path.name}{self.where}"

    def refuse(self, error: EefError) -> RefusedRecord:
        """Return the record of this place as one that `error` refuses."""
        return RefusedRecord(self.within_folder(), str(error).removeprefix(str(self)).lstrip(":, "))


class RefusedRecord(NamedTuple):
    """A record that can't be read: its place in its file, and the reason."""

    place: str
    reason: str


class Episode(NamedTuple):
    """A parsed record: T actions, and T + 1 observations, or T where nothing answered the last action."""

    id: str
    observations: list[str]
    actions: list[str]
    trained: list[
        bool
    ]  # whether each action may be trained, by the record's own flags; True where it has none
    reward: float | None = None
    stop: StopReason = StopReason.DONE
    source: str = ""
    place: Place = Place(Path(), 0, "")


class ParsedFile(NamedTuple):
    """The records of a file, their format, and the records that can't be read."""

    episodes: list[Episode]
    format: str
    refused: list[RefusedRecord]


def parse_file(
    path: Path, format: str = "auto", preamble: int | None = None, environment: str = ""
) -> ParsedFile:
    """Return the records of a file, or of the JSON files in a folder, as they are: a record may lack its reward.

    The `environment` says the `preamble` of ETO's explored episodes, where none is given. A record that is not as expected
    is refused, and the others are returned.

    Raises:
        DataError: the file can't be read, or no record of it: the first, its field, and what was expected.
    """
    if format not in ("auto", *FORMATS):
        raise DataError(f"no format {format!r}; choose auto or one of {', '.join(FORMATS)}")
    if path.is_dir():
        files = sorted(path.glob("*.json"), key=lambda p: (len(p.stem), p.stem))
        if not files:
            raise DataError(
                f"{path}: no *.json file in this folder; name the file, or the folder of an ETO run"
            )
    else:
        files = [path]
    found: list[Episode] = []
    refused: list[RefusedRecord] = []
    for file in files:
        text = read_text(file)
        format = _detect_format(text, file) if format == "auto" else format
        split, read = FORMATS[format]
        for place, raw in split(text, file):
            try:
                episode = read(raw, place, preamble=preamble, environment=environment)
                found.append(episode._replace(place=place))
            except DataError as error:
                refused.append(place.refuse(error))
    require_some(path, found, refused)
    return ParsedFile(found, format, refused)


def require_some(path: Path, found: Sequence[object], refused: Sequence[RefusedRecord]) -> None:
    """Raise DataError if nothing was found in a file, with the reason of the first record that was refused."""
    if found:
        return
    if not refused:
        raise DataError(f"{path}: no trajectory in it, expected at least one")
    place, reason = refused[0]
    raise DataError(f"{path}: none of its {len(refused)} records can be read; the first, {place}: {reason}")


def _detect_format(text: str, path: Path) -> str:
    """Return the format whose fields the first record has that is of one."""
    if re.search(r"^Task:", text, re.M):  # no line of JSON begins like this
        return "agentlite"
    seen: list[dict[str, Any]] = []
    unread: list[DataError] = []
    for place, raw in _json_records(text, path):
        try:
            seen.append(decode_json(raw, dict[str, Any], str(place)))
        except DataError as error:
            unread.append(error)
            continue
        for format, fields in _SIGNATURES:
            if fields <= seen[-1].keys():
                return format
    if unread and not seen:
        raise unread[0]
    if not seen:
        raise DataError(f"{path}: no record in it, expected at least one; is the file whole?")
    raise DataError(
        f"{path}: the first record has the fields {', '.join(seen[0]) or 'none'}, which no format known here has "
        f"({'; '.join(f'{name}: ' + ', '.join(sorted(fields)) for name, fields in _SIGNATURES)}); name the format"
    )


_SIGNATURES = [
    ("react", {"instruction", "steps"}),
    ("agentgym", {"item_id", "conversations"}),
    ("eto", {"id", "conversations"}),
    ("eto", {"meta", "conversations"}),
    ("eto", {"game_file", "conversations"}),
    ("sharegpt", {"conversations"}),
    ("openai", {"messages"}),
]


class _ReactStep(msgspec.Struct):
    action: str
    obs: str | None
    loss: bool | None = None  # of our own export: ReAct's records have no flags


class _React(msgspec.Struct):
    reward: float | None
    bought: bool
    steps: list[_ReactStep]
    idx: int | str | None = None


def _react(record: _React, place: Place, **_: object) -> Episode:
    """Read a record of ReAct's, whose steps[0] is `reset` with o_0 as its observation.

    An episode that did not buy ran out of turns (15 in the paper). One whose Buy Now got no answer met a site that
    failed: that is no loss of the policy, and is counted apart.
    """
    if len(record.steps) < 2 or record.steps[0].action != "reset":
        raise DataError(
            f"{place}, steps: expected `reset` and at least one action, got {len(record.steps)} steps"
        )
    steps = record.steps[1:]
    failed = not record.bought and steps[-1].action == "click[Buy Now]" and not steps[-1].obs
    stop = (
        StopReason.DONE
        if record.bought
        else StopReason.ENVIRONMENT_FAILURE
        if failed
        else StopReason.TURN_LIMIT
    )
    return Episode(
        str(place.number if record.idx is None else record.idx),
        [s.obs or "" for s in record.steps],
        [s.action for s in steps],
        [s.loss is not False for s in steps],
        record.reward,
        stop,
    )


class _Part(msgspec.Struct):
    type: str
    text: str = ""


class _Function(msgspec.Struct):
    name: str
    arguments: str = "{}"


class _ToolCall(msgspec.Struct):
    function: _Function


_Content = str | list[_Part] | None


class _Turn(msgspec.Struct):
    """One message, in ShareGPT's words (from, value, loss) or in those of the chat interface (role, content, weight)."""

    sender: str | None = msgspec.field(name="from", default=None)
    role: str | None = None
    value: _Content = None
    content: _Content = None
    loss: bool | None = None
    weight: float | None = None
    tool_calls: list[_ToolCall] | None = None

    @property
    def speaker(self) -> str:
        """Return `human`, `gpt`, `system`, or the record's own word for another speaker."""
        name = self.sender or self.role or "nobody"
        return _SPEAKERS.get(name, name)

    @property
    def text(self) -> str:
        """Return what was said, the tool that was called in a line of its own."""
        content = self.value if self.value is not None else self.content
        said = "".join(part.text for part in content) if isinstance(content, list) else content or ""
        calls = [f"{c.function.name}[{c.function.arguments}]" for c in self.tool_calls or ()]
        return "\n".join(filter(None, [said, *calls]))

    @property
    def trained(self) -> bool:
        """Return whether the turn may be trained, by its flags; one that says nothing has nothing to train."""
        return self.loss is not False and self.weight != 0 and self.text != ""

    def check(self, place: str) -> None:
        """Raise DataError if the turn holds what no action or observation can be made of."""
        if self.weight not in (None, 0, 1):
            raise DataError(
                f"{place}: weight {self.weight}; a turn is trained (1) or not (0), so round the weights first"
            )
        parts = [p for c in (self.value, self.content) if isinstance(c, list) for p in c]
        if other := next((p.type for p in parts if p.type != "text"), None):
            raise DataError(f"{place}: a part of type {other!r}, expected text; leave such records out")
        if self.tool_calls and len(self.tool_calls) > 1:
            raise DataError(
                f"{place}: {len(self.tool_calls)} tool calls in a turn, expected one: an action is answered before the next"
            )


_SPEAKERS = {
    "user": "human",
    "tool": "human",
    "observation": "human",
    "assistant": "gpt",
    "function_call": "gpt",
    "developer": "system",
}


class _AgentGym(msgspec.Struct):
    conversations: list[_Turn] | None
    item_id: str | int | None = None
    reward: float | None = None


def _agentgym(record: _AgentGym, place: Place, *, preamble: int | None, **_: object) -> Episode:
    """Read a record of AgentGym's, which says its reward only if it was evaluated."""
    if not record.conversations:
        raise DataError(
            f"{place}: no conversations; a file of task ids alone (AgentEval) holds no trajectory"
        )
    name = str(place.number if record.item_id is None else record.item_id)
    return _dialogue(name, record.conversations, preamble, place)._replace(reward=record.reward)


class _Meta(msgspec.Struct):
    reward: float | None
    terminate_reason: str | None = None


class _Eto(msgspec.Struct):
    conversations: list[_Turn]
    id: int | str | None = None
    game_file: str | None = None
    reward: float | None = None
    source: str = ""
    meta: _Meta | None = None


_ETO_STOPS = {
    "max_steps": StopReason.TURN_LIMIT,
    "exceeding maximum input length": StopReason.CONTEXT_LIMIT,
}


def _eto(record: _Eto, place: Place, *, preamble: int | None, environment: str) -> Episode:
    """Read a record of ETO's. An explored episode opens with an unknown number of worked examples: it needs `preamble`."""
    if record.meta is not None and preamble is None:
        preamble = ETO_PREAMBLES.get(environment)
    if record.meta is not None and preamble is None:
        raise DataError(
            f"{place}: an explored episode opens with worked examples; say in which environment it was recorded "
            "with --environment, or with --preamble the number of messages before the task "
            f"(ETO's own: {', '.join(f'{name} {n}' for name, n in ETO_PREAMBLES.items())})"
        )
    unnamed = place.path.stem if record.meta is not None else place.number
    name = record.id if record.id is not None else record.game_file or unnamed
    episode = _dialogue(str(name), record.conversations, preamble, place)
    if record.meta is not None:
        stop = _ETO_STOPS.get(record.meta.terminate_reason or "", StopReason.DONE)
        return episode._replace(reward=record.meta.reward, stop=stop, source=record.source)
    return episode._replace(reward=record.reward, source=record.source)


ETO_PREAMBLES = {"webshop": 10, "sciworld": 16, "alfworld": 12}
"""The messages of role, rules and worked examples that open an explored episode of ETO, by environment."""


class _OpenAI(msgspec.Struct):
    messages: list[_Turn]
    # The API takes the messages alone; these columns are those of our own `to_dataset`.
    task_id: str | None = None
    source: str = ""
    reward: float | None = None
    first: int = 0


def _openai(record: _OpenAI, place: Place, *, preamble: int | None, **_: object) -> Episode:
    """Read a record of OpenAI's fine-tuning API; its id is its task, if it says so."""
    id = str(place.number) if record.task_id is None else record.task_id
    episode = _dialogue(id, record.messages, preamble, place)
    trained = [flag and i >= record.first for i, flag in enumerate(episode.trained)]
    return episode._replace(reward=record.reward, source=record.source, trained=trained)


def _dialogue(id: str, turns: list[_Turn], preamble: int | None, place: Place) -> Episode:
    """Return the episode of a conversation, without the messages before its task."""
    for i, turn in enumerate(turns):
        turn.check(f"{place}, message {i}")
    if preamble is None:
        preamble = next((i for i, turn in enumerate(turns) if turn.speaker != "system"), len(turns))
        if _agrees_to_rules(turns[preamble + 1 : preamble + 3]):
            preamble += 2
    rest = turns[preamble:]
    for i, turn in enumerate(rest):
        expected = "gpt" if i % 2 else "human"
        if turn.speaker != expected:
            raise DataError(
                f"{place}, message {preamble + i}: expected one from {expected!r}, got {turn.speaker!r}; "
                "observations and actions take turns, and an observation comes first"
            )
    replies = rest[1::2]
    if not replies:
        raise DataError(f"{place}: no action after {preamble} messages of the prompt, expected at least one")
    trained = [turn.trained for turn in replies]
    return Episode(id, [turn.text for turn in rest[::2]], [turn.text for turn in replies], trained)


def _agrees_to_rules(turns: list[_Turn]) -> bool:
    """Return whether a reply is the `OK` to rules, and what follows it the task.

    An action may begin with `Ok` as well: then it says a command, or is trained, or a page of the environment follows.
    """
    if len(turns) < 2 or turns[1].speaker != "human":
        return False
    reply, after = turns[0].text.strip(), turns[1].text.strip()
    is_action = bool(turns[0].loss or turns[0].weight or turns[0].tool_calls or _COMMAND.search(reply))
    return bool(re.match(r"ok\b", reply, re.I)) and not is_action and not _ANSWER.search(after)


_COMMAND = re.compile(r"\bAction:|\w\[.")
_ANSWER = re.compile(
    r"^(?:WEB PAGE|Observation:|OK\b|You have clicked|Invalid|Nothing happens|No known action|This (?:room|outside))"
    r"|Back to Search"
)
"""How the answers of environments begin, or a button that the start page of a shop lacks: no task reads so."""


_CALL = re.compile(r"Action: ?\w+\[")


def _agentlite_records(text: str, path: Path) -> Iterator[tuple[Place, list[str]]]:
    """Return the lines of each episode of a log, from its `Task:` on, without the worked examples of the prompts."""
    text = re.sub(
        r"^\[Example\].*?^\[Execution\]", lambda m: "\n" * m[0].count("\n"), text, flags=re.M | re.S
    )
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if line.startswith("Task:")]
    for number, (start, end) in enumerate(pairwise([*starts, len(lines)])):
        yield Place(path, number, f":{start + 1}"), lines[start:end]


def _agentlite(lines: list[str], place: Place, **_: object) -> Episode:
    """Read an episode of AgentLite's logs; its id is its task, and one that neither bought nor finished ran out of turns.

    Pages may hold any text, so only a line that opens a call or a task ends an observation.
    """
    task = lines[0].removeprefix("Task:").strip()
    episode, kind = Episode(task, [task], [], []), "task"
    for i, line in enumerate(lines[1:], 1):
        if kind in ("task", "observation") and _CALL.match(line):
            episode.actions.append(line[7:].strip())
            kind = "action"
        elif kind == "action" and line.startswith("Observation:"):
            episode.observations.append(line[12:].removeprefix(" "))
            kind = "observation"
        elif kind == "observation":
            episode.observations[-1] += "\n" + line
        elif kind == "action" and line:
            raise DataError(
                f"{place}, line {i + 1} of the task: expected `Observation:` after an action, got {line!r}"
            )
    return _complete(episode, place)


def _complete(episode: Episode, place: Place) -> Episode:
    """Return an episode of AgentLite's with its last observation cleaned, its flags, and how it ended."""
    if not episode.actions:
        raise DataError(f"{place}: no action follows Task:{episode.id}")
    *observations, last = episode.observations
    # The lines that separate episodes in a file, and the prompt's last word, belong to no observation.
    observations.append(re.sub(r"(\n+Action:)?\n*\Z", "", last))
    if cut := next((o for o in observations if o.endswith("[TLDR]")), None):
        raise DataError(
            f"{place}: the observation {cut[:40]!r} … was cut by AgentLite's logger; raise its OBS_OFFSET"
        )
    over = observations[-1] == "shopping is finished." or episode.actions[-1].startswith("Finish")
    n = len(episode.actions)
    return episode._replace(
        observations=observations, trained=[True] * n, stop=StopReason.DONE if over else StopReason.TURN_LIMIT
    )


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        DataError: it can't be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}; check the name") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 text at byte {error.start}; convert it, or name another file"
        ) from error


def _json_records(text: str, path: Path) -> list[tuple[Place, msgspec.Raw | str]]:
    """Return each record, not read yet, with its place: of a JSON array, of JSON lines, or a single JSON object."""
    if text.lstrip().startswith("["):
        raw = decode_json(text, list[msgspec.Raw], str(path))
        return [(Place(path, i, f", record {i}"), record) for i, record in enumerate(raw)]
    try:
        return [(Place(path, 0, ""), msgspec.json.decode(text, type=msgspec.Raw))]
    except UNDECODABLE:
        lines = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
        return [(Place(path, number, f":{i}"), line) for number, (i, line) in enumerate(lines)]


def decode_json(text: str | msgspec.Raw, type: Any, place: str) -> Any:
    """Return JSON as a value of `type`.

    Raises:
        DataError: it is none; the message names the place and the field.
    """
    try:
        return msgspec.json.decode(text, type=type)
    except UNDECODABLE as error:
        raise DataError(f"{place}: {error}; is the file whole, and of the format named?") from error


class Format(NamedTuple):
    """A format of files: how a text is split into records that are not read yet, and how one of them is read."""

    split: Callable[[str, Path], Iterable[tuple[Place, Any]]]
    read: Callable[..., Episode]


def _json_format(type: type, read: Callable[..., Episode]) -> Format:
    """Return the format of JSON records of `type`."""

    def decode_and_read(raw: msgspec.Raw | str, place: Place, **options: Any) -> Episode:
        return read(decode_json(raw, type, str(place)), place, **options)

    return Format(_json_records, decode_and_read)


FORMATS: Mapping[str, Format] = {
    "react": _json_format(_React, _react),
    "agentgym": _json_format(_AgentGym, _agentgym),
    "eto": _json_format(_Eto, _eto),
    "sharegpt": _json_format(_Eto, _eto),
    "openai": _json_format(_OpenAI, _openai),
    "agentlite": Format(_agentlite_records, _agentlite),
}
