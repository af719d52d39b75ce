"""Write a history for a language model: h_t as pieces of text, each action a piece of its own.

    agentlite   one growing prompt, `Action:…` / `Observation: …`, as both papers ran their experts in a shop
    chat        the same turns and prompt through a tokenizer's own chat template, for instruct models
    agentgym    the turns of ScienceWorld for instruct models, its rules a turn of their own, as in AgentGym
    web         the turns of a web site for instruct models, whose actions are those of `envs.web.actions`
    compact     turns with no prompt text, for tiny models of any environment, which know the rules
    composite   Agent Q's h_t (Appendix A): the task, the actions so far and the present page; and the same as
                composite_chat, through a chat template, and as composite_compact, with no prompt text; the prompts
                ask for a plan at the first step only, and for a STATUS (Fig. 4)

Of those above composite the pieces of h_t are a prefix of the pieces of h_{t+1} (`Format.grows`), so nothing is read
twice. Composite formats drop earlier pages, and are read again from the last action on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec
import yaml

from eefcore.errors import FormatError, ParamsError, PolicyError, suggest
from eefcore.plugins import load_plugin
from eefcore.rendering import prompts
from eefcore.rendering.chat_templates import ChatTemplate, UnwritableError
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
    start: Any = history.steps[0] if history.steps else history
    start = msgspec.structs.replace(start, observation=f"{start.observation}\n{phrase}")
    return msgspec.structs.replace(history, steps=(start, *history.steps[1:])) if history.steps else start


def dialogue(example: Example) -> History:
    """Return the history that an example is written from: up to its last trained action, with its phrase."""
    return add_phrase(example.trajectory.history.at(example.end), example.phrase)


class TurnFormat(Format):
    """A format that writes prompt, o_0, a_0, o_1, a_1, …, each between fixed words."""

    grows = True

    def __init__(self, name: str, *, prompt: str, first: str, then: str, end: str) -> None:
        self.name, self.end = name, end
        self._first, self._then = prompt + first, then

    def pieces(self, history: History) -> list[Piece]:
        """Return h_t between the fixed words of this format."""
        first, *later = _observations(history)
        pieces = [Piece(self._first.format(first))]
        for i, observation in enumerate(later):
            pieces += [Piece(history.steps[i].action, i), Piece(self._then.format(observation))]
        return pieces


def _observations(history: History) -> list[str]:
    """Return o_0, …, o_t."""
    return [*(step.observation for step in history.steps), history.observation]


AGENTLITE = TurnFormat(
    "agentlite", prompt=prompts.SHOP, first="Task:{}\nAction:", then="Observation: {}\nAction:", end="\n"
)
COMPACT = TurnFormat("compact", prompt="", first="{}\n> ", then="{}\n> ", end="\n")


class ChatFormat(Format):
    """A format that writes turns by a tokenizer's chat template: o_t is the user's, a_t the assistant's.

    The prompt stands in the user's first turn and never in a system turn, which some templates refuse (Gemma, Mistral):
    so AgentGym and ETO write it. A template that writes today's date gets the same date on every day.

    Some templates write more than they show again: Qwen3's, told not to think, opens each answer with an empty thought
    that later turns lack. There h_t does not grow.

    Raises:
        PolicyError: see `ChatTemplate`.
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
        """Write `prompt` before o_0: in the same turn, or, with `agreed` as its answer, in a turn of its own."""
        self.name, self.template = name, ChatTemplate(tokenizer, name, template_args or {})
        self.end, self.lead, self.grows = self.template.end, self.template.lead, not self.template.opening
        self._before = [("user", prompt), ("assistant", agreed)] if agreed else []
        self._prompt = "" if agreed else prompt

    def action_text(self, action: str) -> str:
        """Return an action as the template writes it; many templates cut blanks off its ends."""
        return self.template.trim(action)

    def pieces(self, history: History) -> list[Piece]:
        """Return h_t; each piece is what the template adds for one turn."""
        try:
            return self._pieces(history)
        except UnwritableError as error:
            try:  # if as many turns of plain words can be written, the fault lies in the text of this history
                self._pieces(History("", "o", (Step("o", "a"),) * len(history)))
            except UnwritableError:
                raise self.template.refusal(str(error)) from error
            raise self.template.refusal(str(error), FormatError) from error

    def _pieces(self, history: History) -> list[Piece]:
        first, *later = _observations(history)
        turns = [*self._before, ("user", self._prompt + first)]
        text = self.template.question(turns)
        pieces = [Piece(text)]
        for i, observation in enumerate(later):
            action = self.action_text(history.steps[i].action)
            turns += [("assistant", history.steps[i].action), ("user", observation)]
            longer, shown = self.template.question(turns), text + self.lead + action + self.end
            if not longer.startswith(shown):
                raise UnwritableError(
                    f"rewrites turn {i} once turn {i + 1} is there, so no cache and no mask can be right"
                )
            pieces += [Piece(action, i), Piece(longer[len(shown) :])]
            text = longer
        return [*pieces[:-1], Piece(pieces[-1].text + self.template.opening)]


class LastPageFormat(Format):
    """A format that shows only the present page: prompt, o_0, a_0, …, a_{t-1}, o_t (Agent Q Appendix A).

    o_0 is the task, so it stays; h_0 is o_0 alone. `page` writes o_t, and `ask` is the text before the policy's action.
    `first_only` is what of the prompt stands before h_0 alone, as the request for a plan.
    """

    grows = False

    def __init__(
        self, name: str, *, prompt: str, task: str, page: str, ask: str, end: str, first_only: str = ""
    ) -> None:
        self.name, self.end = name, end
        self._first, self._page, self._ask = prompt + task, page, ask
        self._later = self._first.replace(first_only, "")

    def pieces(self, history: History) -> list[Piece]:
        """Return h_t with its actions as they were written."""
        if not history.steps:
            return [Piece(self._first.format(history.observation) + self._ask)]
        return [
            Piece(self._later.format(history.steps[0].observation)),
            *(Piece(action, i) for i, action in enumerate(history.actions)),
            Piece(self._page.format(history.observation) + self._ask),
        ]


_TASK, _PAGE = "USER QUERY:\n{}\n\nEXECUTION HISTORY:\n", "\nCURRENT OBSERVATION:\n{}\n"
COMPOSITE = LastPageFormat(
    "composite",
    prompt=prompts.COMPOSITE_SHOP,
    task=_TASK,
    page=_PAGE,
    ask="\nNEXT ACTION:\n",
    end="\n\n",
    first_only=prompts.PLAN_LINE,
)
COMPOSITE_COMPACT = LastPageFormat(
    "composite_compact", prompt="", task="{}\n\n", page="{}\n", ask="> ", end="\n\n"
)


class LastPageChatFormat(LastPageFormat):
    """`LastPageFormat` as the only user turn of a chat template; the assistant's turn is a_t.

    Earlier actions stand in the user's turn as they were written, each with the mark that ended it.
    """

    def __init__(
        self, tokenizer: Any, *, prompt: str, template_args: Mapping[str, Any] | None = None
    ) -> None:
        chat = ChatFormat(tokenizer, prompt="", name="composite_chat", template_args=template_args)
        content = "what the user says"
        before, _, after = chat.pieces(History("", content))[0].text.partition(content)
        if not after:
            raise PolicyError(
                f"the chat template of {tokenizer.name_or_path} rewrites what a user says; use format: composite"
            )
        before = before.replace("{", "{{").replace("}", "}}")
        texts = {"task": _TASK, "page": _PAGE, "ask": after, "first_only": prompts.PLAN_LINE}
        super().__init__(chat.name, prompt=before + prompt, end=chat.end, **texts)
        self.lead = chat.lead


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
            turns = [("user" if action is None else "assistant", text) for text, action in pieces]
        else:
            turns = [
                ("user", "".join(text if action is None else text + self.end for text, action in pieces))
            ]
        return [{"role": role, "content": content} for role, content in (*self._before, *turns)]


_SCIENCE = TurnFormat(
    # An answer has a thought and an action, with blank lines or none between them.
    "agentgym",
    prompt="",
    first="{}",
    then="{}",
    end="\nObservation:",
)
MESSAGES: Mapping[str, Messages] = {
    m.name: m
    for m in (
        Messages("chat", AGENTLITE, turns=True),
        Messages("agentlite_chat", AGENTLITE, turns=False),
        Messages(
            "agentgym",
            _SCIENCE,
            turns=True,
            before=(("user", prompts.SCIENCE), ("assistant", prompts.AGREED)),
        ),
        Messages("web", TurnFormat("web", prompt=prompts.WEB, first="{}", then="{}", end="\n"), turns=True),
        Messages("composite_chat", COMPOSITE, turns=False),
    )
}
"""The formats that speak to a chat interface, by name."""

_WITHOUT_TEMPLATE = {f.name: f for f in (AGENTLITE, COMPACT, COMPOSITE, COMPOSITE_COMPACT)}
_WITH_TEMPLATE: Mapping[str, Callable[..., Format]] = {
    "chat": partial(ChatFormat, prompt=prompts.SHOP.replace("{{", "{").replace("}}", "}") + "Task:"),
    "agentgym": partial(ChatFormat, prompt=prompts.SCIENCE, agreed=prompts.AGREED, name="agentgym"),
    "web": partial(ChatFormat, prompt=prompts.WEB, name="web"),
    "composite_chat": partial(LastPageChatFormat, prompt=prompts.COMPOSITE_SHOP),
}
"""The formats that write with the chat template of a tokenizer."""


def load_format(name: str, tokenizer: Any = None, template_args: str | None = None) -> Format:
    """Return the format called `name`; chat formats use the template of `tokenizer`.

    `my_package.my_module:format` calls that function with the tokenizer: an environment of your own has its own prompt,
    as in `TurnFormat("mine", prompt=…)` or `ChatFormat(tokenizer, prompt=…)`.

    Args:
        name: which format.
        tokenizer: the model's.
        template_args: arguments of the chat template, in YAML, as `enable_thinking: false`; None gives none.

    Raises:
        PolicyError: there is no such format, or no such argument of a template.
        ParamsError: there is no such function, or `template_args` can't be read.
    """
    args = check_format(name, template_args)
    if name in _WITH_TEMPLATE:
        return _WITH_TEMPLATE[name](tokenizer, template_args=args)
    if ":" in name:
        return load_plugin(name, "format", takes=("tokenizer",))(tokenizer=tokenizer)
    return _WITHOUT_TEMPLATE[name]


def check_format(name: str, template_args: str | None = None) -> dict[str, Any]:
    """Refuse a format that `load_format` would refuse for any tokenizer; return the arguments of its template."""
    args = read_template_args(template_args)
    if name in _WITH_TEMPLATE:
        return args
    if args:
        raise PolicyError(
            f"format {name}: template_args {args} are arguments of a chat template, and this format has none; leave "
            f"them out, or use one of the formats {', '.join(_WITH_TEMPLATE)}"
        )
    if ":" in name:
        load_plugin(name, "format", takes=("tokenizer",))
    elif name not in _WITHOUT_TEMPLATE:
        names = (*_WITHOUT_TEMPLATE, *_WITH_TEMPLATE)
        raise PolicyError(
            f"no format {name!r}{suggest(name, names) or ';'} choose one of {', '.join(names)}, or "
            "my_package.my_module:format"
        )
    return args


def read_template_args(text: str | None) -> dict[str, Any]:
    """Read the arguments of a chat template from a parameter: YAML, with or without braces around it; None gives none."""
    if text is None:
        return {}
    try:
        args = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:  # PyYAML's own
        raise ParamsError(f"template_args: {text!r} is no YAML: {error}") from error
    if not isinstance(args, dict) or not all(isinstance(name, str) for name in args):
        raise ParamsError(
            f"template_args: expected names and values, as 'enable_thinking: false', got {text!r}"
        )
    return args
