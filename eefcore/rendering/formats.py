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

from typing import Any, NamedTuple, Protocol

import msgspec
from jinja2 import TemplateError

from eefcore.errors import FormatError, PolicyError
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
    return add_phrase(example.trajectory.history.at(example.trained_indices.stop), example.phrase)


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
    """The turns of a dialogue through `tokenizer.apply_chat_template`: o_t is the user's, a_t the assistant's.

    Raises:
        PolicyError: the template rewrites earlier turns (some drop old thoughts), so that h_t would
            not be a prefix of h_{t+1}.
    """

    grows = True

    def __init__(self, tokenizer: Any, *, prompt: str, agreed: str = "", name: str = "chat") -> None:
        """Say `prompt` before o_0: in the same turn, or, with `agreed` as its answer, in a turn of its own."""
        self.name, self._tokenizer = name, tokenizer
        self._before = [("user", prompt), ("assistant", agreed)] if agreed else []
        self._prompt = "" if agreed else prompt
        opened = self._render([("user", "o"), ("assistant", "a")], generate=False)
        asked = self._render([("user", "o")], generate=True)
        padded = self._render([("user", "o"), ("assistant", _PADDED)], generate=False)
        self._trim = next(
            (t for t in _TRIMS if padded.startswith(asked + t(_PADDED) + opened[len(asked) + 1 :])), str
        )
        if not opened.startswith(asked + "a"):
            raise PolicyError(
                f"the chat template of {tokenizer.name_or_path} puts {opened[len(asked) :][:40]!r} where the "
                "assistant's words were expected; use format: agentlite"
            )
        self._suffix = opened[len(asked) + 1 :]
        self.end = self._suffix.rstrip("\n") or "\n"

    def action_text(self, action: str) -> str:
        """Return an action as the template writes it; many templates cut blanks off its ends."""
        return self._trim(action)

    def pieces(self, history: History) -> list[Piece]:
        """Return h_t; each piece is what the template adds for one turn."""
        try:
            return self._pieces(history)
        except (_Rewritten, TemplateError) as error:
            model = self._tokenizer.name_or_path
            reason = (
                f"the chat template of {model} {error}, so no cache and no mask can be right"
                if isinstance(error, _Rewritten)
                else f"the chat template of {model} refuses the dialogue ({error})"
            )
            kind = FormatError if self._shows_plain(len(history)) else PolicyError
            raise kind(f"{reason}; use format: agentlite") from error

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
        text = self._render(turns, generate=True)
        out = [Piece(text)]
        for i, step in enumerate(history.steps):
            turns += [("assistant", step.action), ("user", observations[i + 1])]
            longer = self._render(turns, generate=True)
            action = self.action_text(step.action)
            shown = text + action + self.end
            if not longer.startswith(shown):
                raise _Rewritten(f"rewrites turn {i} once turn {i + 1} is there")
            out += [Piece(action, i), Piece(longer[len(shown) :])]
            text = longer
        return out

    def _render(self, turns: list[tuple[str, str]], *, generate: bool) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate)


class _Rewritten(Exception):
    """The template shows a turn in another way than before."""


_PADDED = " \n a \n "
_TRIMS = (str, str.strip, str.rstrip, str.lstrip, lambda text: text.strip("\n"))
"""The ways in which templates trim an action."""


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

    def __init__(self, tokenizer: Any, *, prompt: str) -> None:
        chat = ChatFormat(tokenizer, prompt="")
        self.end = chat.end
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


def load_format(name: str, tokenizer: Any = None) -> Format:
    """Return the format called `name`; chat formats use the template of `tokenizer`.

    `my_package.my_module:format` calls that function with the tokenizer: an environment of your own has its own prompt,
    as in `TurnFormat("mine", prompt=…)` or `ChatFormat(tokenizer, prompt=…)`.

    Raises:
        PolicyError: there is no such format.
        ParamsError: there is no such function.
    """
    if ":" in name:
        return load_plugin(name, "format", takes=("tokenizer",))(tokenizer=tokenizer)
    formats = {f.name: f for f in (AGENTLITE, COMPACT, COMPOSITE, COMPOSITE_COMPACT)}
    if name == LastPageChatFormat.name:
        return LastPageChatFormat(tokenizer, prompt=prompts.COMPOSITE_SHOP)
    if name == "chat":
        return ChatFormat(tokenizer, prompt=prompts.SHOP.replace("{{", "{").replace("}}", "}") + "Task:")
    if name == "agentgym":
        return ChatFormat(tokenizer, prompt=prompts.SCIENCE, agreed=prompts.AGREED, name=name)
    if name not in formats:
        raise PolicyError(
            f"no format {name!r}; choose one of {', '.join((*formats, 'chat', 'agentgym', LastPageChatFormat.name))}, or "
            "my_package.my_module:format"
        )
    return formats[name]
