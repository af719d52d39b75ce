"""Keep control marks out of text that comes from outside: a page's `<|im_end|>` is read as words, not as the end of a turn.

A tokenizer turns the spelling of a special token into that token wherever it stands. Only what a format or a chat
template writes itself may become one. So each mark in an observation or an action is written as a stand-in before
the format sees it, and what is a mark in the finished text is the format's own. The text is then encoded by a copy
of the tokenizer whose marks have other spellings. Text without marks is encoded by the tokenizer itself.
"""

from __future__ import annotations

import json
import operator
import re
from functools import lru_cache
from typing import Any

import msgspec
from tokenizers import Tokenizer

from eefcore.rendering.formats import Format
from eefcore.types import History, Step

_OPEN, _CLOSE = "\U0010fffe", "\U0010ffff"  # no characters, by Unicode; no template trims them
_STAND_IN = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")  # spells a byte for text, and is no control


class SpecialTokens:
    """The special tokens (control marks) of one tokenizer under one format, and text without them."""

    def __init__(self, tokenizer: Any, format: Format) -> None:
        self._tokenizer = tokenizer
        self.ids = _control(tokenizer, format)
        """The id of each mark, by its spelling."""
        self._quoted_words = [*self.ids, _OPEN, _CLOSE]
        self._number = {word: i for i, word in enumerate(self._quoted_words)}
        longest_first = sorted(self._quoted_words, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, longest_first)))
        own = [re.escape(word) for word in longest_first if word in self.ids]
        self._split = re.compile("|".join([_STAND_IN.pattern, *own]))
        self.quote = lru_cache(maxsize=1 << 16)(self._quote)
        self._copy = lru_cache(maxsize=2)(self._renamed)

    def quote_history(self, history: History) -> History:
        """Return `history` with stand-ins for marks; the very same object where it holds none."""
        steps = tuple(self._quote_step(s) for s in history.steps)
        observation = self.quote(history.observation)
        if observation is history.observation and all(map(operator.is_, steps, history.steps)):
            return history
        return History(history.task_id, observation, steps)

    def has_stand_ins(self, text: str) -> bool:
        """Return whether a written text holds stand-ins, so that `encode` must encode it."""
        return _STAND_IN.search(text) is not None

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text with stand-ins: these as words, and the marks that are spelled out as control."""
        if not hasattr(self._tokenizer, "backend_tokenizer"):
            return self._in_parts(text)
        nonce, restored = 0, _STAND_IN.sub(self._word, text)
        while f"{_OPEN}{nonce}:" in restored:  # a page that spells what we spell
            nonce += 1
        copy, ids = self._copy(nonce)
        written = self._split.sub(
            lambda found: self._word(found) if found[1] else _spelling(nonce, self._number[found[0]]), text
        )
        return tuple(ids.get(i, i) for i in copy.encode(written, add_special_tokens=False).ids)

    def _quote(self, text: str) -> str:
        if not self._any.search(text):
            return text
        return self._any.sub(lambda found: f"{_OPEN}{self._number[found[0]]}{_CLOSE}", text)

    def _quote_step(self, step: Step) -> Step:
        observation, action = self.quote(step.observation), self.quote(step.action)
        if observation is step.observation and action is step.action:
            return step
        return msgspec.structs.replace(step, observation=observation, action=action)

    def _word(self, stand_in: re.Match[str]) -> str:
        return self._quoted_words[int(stand_in[1])]

    def _renamed(self, nonce: int) -> tuple[Tokenizer, dict[int, int]]:
        """Return a copy of the tokenizer whose marks have other spellings, and the tokenizer's ids of its marks."""
        spec = json.loads(self._tokenizer.backend_tokenizer.to_str())
        names = {mark: _spelling(nonce, self._number[mark]) for mark in self.ids}
        for token in spec["added_tokens"]:
            token["content"] = names.get(token["content"], token["content"])
        model = spec["model"]
        if isinstance(vocabulary := model["vocab"], dict):
            model["vocab"] = {names.get(word, word): i for word, i in vocabulary.items()}
        else:
            model["vocab"] = [[names.get(word, word), score] for word, score in vocabulary]
        if model.get("unk_token") in names:
            model["unk_token"] = names[model["unk_token"]]
        spec |= {"post_processor": None, "truncation": None, "padding": None}
        copy = Tokenizer.from_str(json.dumps(spec))
        ids = {copy.token_to_id(name): self.ids[mark] for mark, name in names.items()}
        return copy, {i: mark for i, mark in ids.items() if i is not None}

    def _in_parts(self, text: str) -> tuple[int, ...]:
        """Encode with a tokenizer that is written in Python, which can encode special tokens as words."""
        ids: list[int] = []
        start = 0
        for mark in [*(found for found in self._split.finditer(text) if not found[1]), None]:
            if words := _STAND_IN.sub(self._word, text[start : mark.start() if mark else None]):
                ids += self._tokenizer(words, add_special_tokens=False, split_special_tokens=True)[
                    "input_ids"
                ]
            if mark:
                ids.append(self.ids[mark[0]])
                start = mark.end()
        return tuple(ids)


def _spelling(nonce: int, number: int) -> str:
    return f"{_OPEN}{nonce}:{number}{_CLOSE}"


def _control(tokenizer: Any, format: Format) -> dict[str, int]:
    """Return the ids of the marks: special tokens, and added tokens that the chat template writes around a turn.

    A mark that the tokenizer does not turn into its id (one that was loaded with `split_special_tokens`) is none.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {})
    template = str(getattr(tokenizer, "chat_template", None) or "")
    frame = ""
    if any(not token.special and token.content in template for token in added.values()):
        turn = History("", "o", (Step("o", "a"),))
        frame = "".join(piece.text for piece in format.pieces(turn)) + format.end
    return {
        token.content: i
        for i, token in added.items()
        if (token.special or (token.content in template and token.content in frame))
        and token.content.strip()
        and not _BYTE.fullmatch(token.content)
        and i in tokenizer(token.content, add_special_tokens=False)["input_ids"]
    }
