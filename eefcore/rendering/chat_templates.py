"""Find out what a tokenizer's chat template writes around the turns of a dialogue, and refuse one that can't be used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import takewhile
from typing import Any

from jinja2 import TemplateError

from eefcore.errors import PolicyError

_ACTION, _PADDED_ACTION = "whatittakes", " \n a \n "
_TRIMS = (str, str.strip, str.rstrip, str.lstrip, lambda text: text.strip("\n"))
"""The ways in which templates trim an action."""
_EMPTY_THOUGHT = re.compile(r"(\s*<think>\s*</think>\s*)?")
_FIXED_DATE = {"strftime_now": date(2024, 7, 26).strftime}
"""Templates that write today's date ask for it by this name; this is the day that Llama 3's writes by itself."""


class UnwritableError(Exception):
    """The template can't write a dialogue so that it grows by its end."""


class ChatTemplate:
    """What the chat template of `tokenizer` writes around an action, in a dialogue of user and assistant.

    Attributes:
        opening: what it writes before an answer and lacks in later turns: an empty thought (Qwen3, told not to think).
        lead: a blank that it shows before an action, which the policy must write.
        end: the mark that ends an action.
        trim: returns an action as later turns show it.

    Raises:
        PolicyError: the tokenizer has no template, or one by which it can't be said what an action is and where it ends.
    """

    def __init__(self, tokenizer: Any, format: str, args: Mapping[str, Any]) -> None:
        self._tokenizer, self._format = tokenizer, format
        self.args = {**_FIXED_DATE, **args}
        self._check_args(args)
        try:
            self._read()
        except (TemplateError, ValueError, TypeError) as error:
            raise self.refusal(f"refuses a dialogue of user and assistant ({error})") from error

    def question(self, turns: Sequence[tuple[str, str]]) -> str:
        """Return a dialogue up to where an action is asked for, without what later turns do not show of that.

        Raises:
            UnwritableError: the template refuses a turn.
        """
        try:
            return self._render(turns, ask=True).removesuffix(self.opening)
        except TemplateError as error:
            raise UnwritableError(f"refuses it ({error})") from error

    def refusal(
        self, reason: str, kind: type[PolicyError] = PolicyError, *, advice: str = "use format: agentlite"
    ) -> PolicyError:
        """Return the error that names the format, the model and the reason."""
        model = self._tokenizer.name_or_path or "this tokenizer"
        return kind(f"format {self._format}: the chat template of {model} {reason}; {advice}")

    def _check_args(self, args: Mapping[str, Any]) -> None:
        """Check that the template reads every argument, and that thinking is decided."""
        template = str(getattr(self._tokenizer, "chat_template", None) or "")
        if not template:
            raise self.refusal("is missing: the tokenizer was saved without one")
        for name in args:
            if not re.search(rf"\b{re.escape(name)}\b", template):
                raise self.refusal(f"reads no argument {name!r}", advice="correct template_args")
        if re.search(r"\benable_thinking\b", template) and "enable_thinking" not in args:
            raise self.refusal(
                "lets the model think unless it is told not to, and drops thoughts from earlier turns, so no action "
                "with a thought could be shown again",
                advice="set template_args: {enable_thinking: false}; true suits models that were trained without thoughts",
            )

    def _read(self) -> None:
        """Read the marks around an action, by what the template does with one in the middle and one at the end."""
        user = ("user", "o")
        question = self._render([user], ask=True)
        before, _, after = self._render([user, ("assistant", _ACTION), user], ask=True).partition(_ACTION)
        at_end = self._render([user, ("assistant", _ACTION)], ask=False).partition(_ACTION)[2]
        if not after:
            raise self.refusal("rewrites turn 0 once turn 1 is there, so no cache and no mask can be right")
        kept = len(_common_start(question, before))
        self.opening, self.lead = question[kept:], before[kept:]
        if self.lead.strip() or not _EMPTY_THOUGHT.fullmatch(self.opening):
            raise self.refusal(
                f"puts {(self.lead or self.opening)[:40]!r} where the assistant's words were expected",
                advice="set template_args if it has an argument for that, or use format: agentlite",
            )
        added = getattr(self._tokenizer, "added_tokens_decoder", {}).values()
        marks = sorted((re.escape(token.content) for token in added), key=len, reverse=True)
        parts = re.compile("|".join([*marks, "."]), re.DOTALL)
        end = "".join(_common_start(parts.findall(after), parts.findall(at_end)))
        if not end:
            raise self.refusal("writes no mark after the assistant's words, so an action would have no end")
        self.end = end.rstrip("\n") or "\n"
        padded = self._render([user, ("assistant", _PADDED_ACTION), user], ask=True)
        self.trim = next((t for t in _TRIMS if padded.startswith(before + t(_PADDED_ACTION) + self.end)), str)

    def _render(self, turns: Sequence[tuple[str, str]], *, ask: bool) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        return self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=ask, **self.args
        )


def _common_start(one: Sequence[str], other: Sequence[str]) -> Sequence[str]:
    return one[: len([*takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))])]
