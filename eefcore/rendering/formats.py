"""Write a history for a language model: h_t as pieces of text, each action a piece of its own.

    agentlite   one growing prompt, `Action:…` / `Observation: …`, as both papers ran their experts in a shop
    chat        the same turns and prompt through a tokenizer's own chat template, for instruct models
    agentgym    the turns of ScienceWorld for instruct models, its rules a turn of their own, as in AgentGym
    compact     turns with no prompt text, for tiny models of any environment, which know the rules
    composite   Agent Q's h_t (Appendix A): the task, the actions so far and the present page; and the same as
                composite_chat, through a chat template, and as composite_compact, with no prompt text

One renderer serves rollout, training and evaluation (`eefcore.rendering.renderer.Renderer`). Of those above composite the pieces
of h_t are a prefix of the pieces of h_{t+1} (`Format.grows`), so nothing is read twice. Composite formats drop earlier
pages, and are read again from the last action on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, Protocol

import msgspec
import yaml
from jinja2 import TemplateError

from eefcore.errors import FormatError, ParamsError, PolicyError, suggest
from eefcore.plugins import load_plugin
from eefcore.rendering import prompts
from eefcore.types import Example, History, Step


class Piece(NamedTuple):
    """A part of the dialogue; `action` is i if the part is a_i, and None if the policy only reads it."""

    text: str
    action: int | None = None


class Format(Protocol):
    """A way to write histories."""

    name: str
    end: str
    """The mark that ends an action. The policy writes it, and training teaches it."""
    lead: str = ""
    """A blank that the policy writes before an action, where a chat template shows one there."""
    grows: bool
    """Whether h_t is a prefix of h_{t+1}, so that one training row holds all actions of a trajectory."""

    def pieces(self, history: History) -> list[Piece]:
        """Return h_t up to where the policy must write a_t. Action pieces come without `end`.

        Raises:
            FormatError: an action or a page can't be written so that h_t stays a prefix of h_{t+1}.
        """

    def action_text(self, action: str) -> str:
        """Return an action as this format writes it if it was not sampled: unchanged, unless a template trims it."""
        return action


def can_show(format: Format, history: History, action: str) -> bool:
    """Return whether `format` can show `action` again in later turns."""
    try:
        format.pieces(history.then(action, "o"))
    except FormatError:
        return False
    return True


def add_phrase(history: History, phrase: str) -> History:
    """Return h_t with `phrase` as the last line of o_0; unchanged if the phrase is empty (NAT).

    NAT tells good trajectories from bad ones by a phrase in the prompt. It goes after the task, so that every
    format and chat template has a place for it.
    """
    if not phrase:
        return history
    if not history.steps:
        return msgspec.structs.replace(history, observation=f"{history.observation}\n{phrase}")
    first, *rest = history.steps
    start: Step = msgspec.structs.replace(first, observation=f"{first.observation}\n{phrase}")
    return msgspec.structs.replace(history, steps=(start, *rest))


def dialogue(example: Example) -> History:
    """Return the history that an example is written from: up to its last trained action, with its phrase."""
    return add_phrase(example.trajectory.history.at(example.end), example.phrase)


class TurnFormat(Format):
    """Prompt, o_0, a_0, o_1, a_1, …, each between fixed words."""

    grows = True

    def __init__(self, name: str, *, prompt: str, first: str, then: str, end: str) -> None:
        self.name, self.end = name, end
        self._first, self._then = prompt + first, then

    def pieces(self, history: History) -> list[Piece]:
        """Return h_t between the fixed words of this format."""
        observations = [*(s.observation for s in history.steps), history.observation]
        out = [Piece(self._first.format(observations[0]))]
        for i, step in enumerate(history.steps):
            out += [Piece(step.action, i), Piece(self._then.format(observations[i + 1]))]
        return out


class ChatFormat(Format):
    """The turns of a dialogue through a tokenizer's chat template: o_t is the user's, a_t the assistant's.

    The prompt stands in the user's first turn and never in a system turn, which some templates refuse (Gemma, Mistral):
    so AgentGym and ETO write it. A template that writes today's date gets the same date on every day.

    Some templates write more than they show again: Qwen3's, told not to think, opens each answer with an empty thought
    that later turns lack. There h_t does not grow.

    Raises:
        PolicyError: the tokenizer has no template, or one by which it can't be said what an action is and where it ends.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        prompt: str,
        agreed: str = "",
        name: str = "chat",
        template_args: Mapping[str, Any] | None = None,
    ) -> None:
        """Say `prompt` before o_0: in the same turn, or, with `agreed` as its answer, in a turn of its own."""
        self.name, self._tokenizer = name, tokenizer
        self._before = [("user", prompt), ("assistant", agreed)] if agreed else []
        self._prompt = "" if agreed else prompt
        self._args = {**_FIXED_DATE, **(template_args or {})}
        self._check_args(template_args or {})
        try:
            self._read_template()
        except (TemplateError, ValueError, TypeError) as error:
            raise self._refusal(f"refuses a dialogue of user and assistant ({error})") from error

    def action_text(self, action: str) -> str:
        """Return an action as the template writes it; many templates cut blanks off its ends."""
        return self._trim(action)

    def pieces(self, history: History) -> list[Piece]:
        """Return h_t; each piece is what the template adds for one turn."""
        try:
            return self._pieces(history)
        except (_Rewritten, TemplateError) as error:
            rewritten = isinstance(error, _Rewritten)
            reason = (
                f"{error}, so no cache and no mask can be right" if rewritten else f"refuses it ({error})"
            )
            kind = FormatError if self._shows_plain(len(history)) else PolicyError
            raise self._refusal(reason, kind) from error

    def _check_args(self, given: Mapping[str, Any]) -> None:
        """Check that the template reads every argument that is given, and that thinking is decided."""
        template = str(getattr(self._tokenizer, "chat_template", None) or "")
        if not template:
            raise self._refusal("is missing: the tokenizer was saved without one")
        for name in given:
            if not re.search(rf"\b{re.escape(name)}\b", template):
                raise self._refusal(f"reads no argument {name!r}", then="correct template_args")
        if re.search(r"\benable_thinking\b", template) and "enable_thinking" not in given:
            raise self._refusal(
                "lets the model think unless it is told not to, and drops thoughts from earlier turns, so no action "
                "with a thought could be shown again",
                then="set template_args: {enable_thinking: false}; true suits models that were trained without thoughts",
            )

    def _read_template(self) -> None:
        """Find out what the template writes around an action, by what it does with one in the middle and at the end."""
        user = ("user", "o")
        asked = self._render([user], generate=True)
        shown, _, after = self._render([user, ("assistant", _ACTION), user], generate=True).partition(_ACTION)
        at_end = self._render([user, ("assistant", _ACTION)], generate=False).partition(_ACTION)[2]
        if not after:
            raise self._refusal("rewrites turn 0 once turn 1 is there, so no cache and no mask can be right")
        kept = _common_start(asked, shown)
        self._opening, self.lead = asked[len(kept) :], shown[len(kept) :]
        self.grows = not self._opening
        if self.lead.strip() or not _EMPTY_THOUGHT.fullmatch(self._opening):
            raise self._refusal(
                f"puts {(self.lead or self._opening)[:40]!r} where the assistant's words were expected",
                then="set template_args if it has an argument for that, or use format: agentlite",
            )
        added = getattr(self._tokenizer, "added_tokens_decoder", {}).values()
        marks = sorted((re.escape(token.content) for token in added), key=len, reverse=True)
        parts = re.compile("|".join([*marks, "."]), re.DOTALL)
        end = "".join(_common_start(parts.findall(after), parts.findall(at_end)))
        if not end:
            raise self._refusal("writes no mark after the assistant's words, so an action would have no end")
        self.end = end.rstrip("\n") or "\n"
        padded = self._render([user, ("assistant", _PADDED), user], generate=True)
        self._trim = next((t for t in _TRIMS if padded.startswith(shown + t(_PADDED) + self.end)), str)

    def _shows_plain(self, turns: int) -> bool:
        """Return whether as many turns of plain words can be shown; then the fault lies in the text of the history."""
        try:
            self._pieces(History("", "o", (Step("o", "a"),) * turns))
        except (_Rewritten, TemplateError):
            return False
        return True

    def _pieces(self, history: History) -> list[Piece]:
        observations = [*(s.observation for s in history.steps), history.observation]
        turns = [*self._before, ("user", self._prompt + observations[0])]
        text = self._asked(turns)
        out = [Piece(text)]
        for i, step in enumerate(history.steps):
            turns += [("assistant", step.action), ("user", observations[i + 1])]
            longer, action = self._asked(turns), self.action_text(step.action)
            shown = text + self.lead + action + self.end
            if not longer.startswith(shown):
                raise _Rewritten(f"rewrites turn {i} once turn {i + 1} is there")
            out += [Piece(action, i), Piece(longer[len(shown) :])]
            text = longer
        return [*out[:-1], Piece(out[-1].text + self._opening)]

    def _asked(self, turns: list[tuple[str, str]]) -> str:
        """Return the dialogue up to where an action is asked for, without what later turns do not show of that."""
        return self._render(turns, generate=True).removesuffix(self._opening)

    def _render(self, turns: list[tuple[str, str]], *, generate: bool) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        return self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=generate, **self._args
        )

    def _refusal(
        self, reason: str, kind: type[PolicyError] = PolicyError, *, then: str = "use format: agentlite"
    ) -> PolicyError:
        model = self._tokenizer.name_or_path or "this tokenizer"
        return kind(f"format {self.name}: the chat template of {model} {reason}; {then}")


def _common_start(one: Sequence[str], other: Sequence[str]) -> Sequence[str]:
    same = (k for k in range(min(len(one), len(other))) if one[k] != other[k])
    return one[: next(same, min(len(one), len(other)))]


class _Rewritten(Exception):
    """The template shows a turn in another way than before."""


_ACTION, _PADDED = "whatittakes", " \n a \n "
_TRIMS = (str, str.strip, str.rstrip, str.lstrip, lambda text: text.strip("\n"))
"""The ways in which templates trim an action."""
_EMPTY_THOUGHT = re.compile(r"(\s*<think>\s*</think>\s*)?")
_FIXED_DATE = {"strftime_now": date(2024, 7, 26).strftime}
"""Templates that write today's date ask for it by this name; this is the day that Llama 3's writes by itself."""


class LastPageFormat(Format):
    """Prompt, o_0, a_0, …, a_{t-1}, o_t: the task, what was done, and the present page (Agent Q Appendix A).

    o_0 is the task, so it stays; h_0 is o_0 alone. `page` writes o_t, and `ask` is the text before the policy's action.
    """

    grows = False

    def __init__(self, name: str, *, prompt: str, task: str, page: str, ask: str, end: str) -> None:
        self.name, self.end = name, end
        self._task, self._page, self._ask = prompt + task, page, ask

    def pieces(self, history: History) -> list[Piece]:
        """Return h_t with its actions as they were written."""
        if not history.steps:
            return [Piece(self._task.format(history.observation) + self._ask)]
        return [
            Piece(self._task.format(history.steps[0].observation)),
            *(Piece(step.action, i) for i, step in enumerate(history.steps)),
            Piece(self._page.format(history.observation) + self._ask),
        ]


class LastPageChatFormat(Format):
    """`LastPageFormat` as the only user turn of a chat template; the assistant's turn is a_t."""

    name = "composite_chat"
    grows = False

    def __init__(
        self, tokenizer: Any, *, prompt: str, template_args: Mapping[str, Any] | None = None
    ) -> None:
        chat = ChatFormat(tokenizer, prompt="", name=self.name, template_args=template_args)
        self.end, self.lead = chat.end, chat.lead
        before, _, after = chat.pieces(History("", _MARK))[0].text.partition(_MARK)
        if not after:
            raise PolicyError(
                f"the chat template of {tokenizer.name_or_path} rewrites what a user says; use format: composite"
            )
        opened = before.replace("{", "{{").replace("}", "}}")
        self._words = LastPageFormat(
            self.name, prompt=opened, task=prompt + _TASK, page=_PAGE, ask=after, end=self.end
        )

    def pieces(self, history: History) -> list[Piece]:
        """Return h_t with its actions as they were written, each with the mark that ended it."""
        return self._words.pieces(history)


_MARK = "what the user says"
_CHAT_PROMPT = prompts.SHOP.replace("{{", "{").replace("}}", "}") + "Task:"
_TASK, _PAGE = "USER QUERY:\n{}\n\nEXECUTION HISTORY:\n", "\nCURRENT OBSERVATION:\n{}\n"

AGENTLITE = TurnFormat(
    "agentlite", prompt=prompts.SHOP, first="Task:{}\nAction:", then="Observation: {}\nAction:", end="\n"
)
COMPACT = TurnFormat("compact", prompt="", first="{}\n> ", then="{}\n> ", end="\n")
COMPOSITE = LastPageFormat(
    "composite", prompt=prompts.COMPOSITE_SHOP, task=_TASK, page=_PAGE, ask="\nNEXT ACTION:\n", end="\n\n"
)
COMPOSITE_COMPACT = LastPageFormat(
    "composite_compact", prompt="", task="{}\n\n", page="{}\n", ask="> ", end="\n\n"
)


class Messages(Format):
    """A format of text as the messages of a chat interface, whose template is the server's; the answer is a_t.

    In `turns` an action is the assistant's and everything else the user's, after the messages of `before`; otherwise all
    of it is one message of the user's, as AgentLite and Agent Q ask.
    """

    def __init__(
        self, name: str, text: Format, *, turns: bool, before: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.name, self.end, self.grows = name, text.end, text.grows
        self._text, self._turns, self._before = text, turns, before

    def pieces(self, history: History) -> list[Piece]:
        """Return h_t as text."""
        return self._text.pieces(history)

    def messages(self, history: History) -> list[dict[str, str]]:
        """Return h_t as messages."""
        pieces = self.pieces(history)
        if self._turns:
            said = [("user" if action is None else "assistant", text) for text, action in pieces]
        else:
            said = [("user", "".join(text if action is None else text + self.end for text, action in pieces))]
        return [{"role": role, "content": content} for role, content in (*self._before, *said)]


MESSAGES: Mapping[str, Messages] = {
    m.name: m
    for m in (
        Messages("chat", AGENTLITE, turns=True),
        Messages("agentlite_chat", AGENTLITE, turns=False),
        Messages(
            "agentgym",
            # An answer has a thought and an action, with blank lines or none between them.
            TurnFormat("agentgym", prompt="", first="{}", then="{}", end="\nObservation:"),
            turns=True,
            before=(("user", prompts.SCIENCE), ("assistant", prompts.AGREED)),
        ),
        Messages("composite_chat", COMPOSITE, turns=False),
    )
}
"""The formats that speak to a chat interface, by name."""

_WITHOUT_TEMPLATE = {f.name: f for f in (AGENTLITE, COMPACT, COMPOSITE, COMPOSITE_COMPACT)}
WITH_TEMPLATE = ("chat", "agentgym", LastPageChatFormat.name)
"""The formats that write with the chat template of a tokenizer."""


def load_format(name: str, tokenizer: Any = None, template_args: str = "") -> Format:
    """Return the format called `name`; chat formats use the template of `tokenizer`.

    `my_package.my_module:format` calls that function with the tokenizer: an environment of your own has its own prompt,
    as in `TurnFormat("mine", prompt=…)` or `ChatFormat(tokenizer, prompt=…)`.

    Args:
        name: which format.
        tokenizer: the model's.
        template_args: arguments of the chat template, in YAML, as `enable_thinking: false`; none if empty.

    Raises:
        PolicyError: there is no such format, or no such argument of a template.
        ParamsError: there is no such function, or `template_args` can't be read.
    """
    args = check_format(name, template_args)
    chat = {
        "chat": lambda: ChatFormat(tokenizer, prompt=_CHAT_PROMPT, template_args=args),
        "agentgym": lambda: ChatFormat(
            tokenizer, prompt=prompts.SCIENCE, agreed=prompts.AGREED, name=name, template_args=args
        ),
        LastPageChatFormat.name: lambda: LastPageChatFormat(
            tokenizer, prompt=prompts.COMPOSITE_SHOP, template_args=args
        ),
    }
    if name in chat:
        return chat[name]()
    if ":" in name:
        return load_plugin(name, "format", takes=("tokenizer",))(tokenizer=tokenizer)
    return _WITHOUT_TEMPLATE[name]


def check_format(name: str, template_args: str = "") -> dict[str, Any]:
    """Refuse a format that `load_format` would refuse for any tokenizer; return the arguments of its template."""
    args = read_template_args(template_args)
    if name in WITH_TEMPLATE:
        return args
    if args:
        raise PolicyError(
            f"format {name}: template_args {args} are arguments of a chat template, and this format has none; leave "
            f"them out, or use one of the formats {', '.join(WITH_TEMPLATE)}"
        )
    if ":" in name:
        load_plugin(name, "format", takes=("tokenizer",))
    elif name not in _WITHOUT_TEMPLATE:
        names = (*_WITHOUT_TEMPLATE, *WITH_TEMPLATE)
        raise PolicyError(
            f"no format {name!r}{suggest(name, names) or ';'} choose one of {', '.join(names)}, or "
            "my_package.my_module:format"
        )
    return args


def read_template_args(text: str) -> dict[str, Any]:
    """Read the arguments of a chat template from a parameter: YAML, with or without braces around it.

    Raises:
        ParamsError: it is not a mapping of names.
    """
    try:
        args = yaml.safe_load(text or "{}")
    except yaml.YAMLError as error:
        raise ParamsError(f"template_args: {text!r} is no YAML: {error}") from error
    if not isinstance(args, dict) or not all(isinstance(name, str) for name in args):
        raise ParamsError(
            f"template_args: expected names and values, as 'enable_thinking: false', got {text!r}"
        )
    return args
