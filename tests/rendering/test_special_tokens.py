"""Text of pages and actions is never encoded as control tokens, in any tokenizer and format.

What must not change here without a decision:
1. A dialogue holds as many control tokens as its format writes, whatever its pages and actions spell.
2. Its ids still say every page and action to the letter.
3. A text without marks has the ids that the tokenizer gives it.
4. h_t stays a prefix of h_{t+1}.
"""

from __future__ import annotations

from collections import Counter

import pytest
from helpers.byte_tokenizer import CHATML, byte_tokenizer, sentencepiece_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from eefcore.rendering.formats import (
    AGENTLITE,
    COMPACT,
    COMPOSITE,
    COMPOSITE_COMPACT,
    ChatFormat,
    LastPageChatFormat,
    TurnFormat,
)
from eefcore.rendering.renderer import Renderer
from eefcore.training.rows import IGNORE, make_rows
from eefcore.types import Example, History, Step, Trajectory

MARKS = ("<|im_start|>", "<|im_end|>", "<|bos|>", "<|eot|>")
TRIMS = (
    "{% for m in messages %}{{ '<|bos|>' if loop.first }}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|eot|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLAIN_MARKS = CHATML.replace("<|im_end|>", "<|eot|>").replace("<|im_start|>", "<|turn|>")


def pieces_from_the_first_word_on() -> PreTrainedTokenizerFast:
    """Return a tokenizer like later Llama-2 ones: a blank before the first word of a text only."""
    letters = [chr(c) for c in range(33, 127)]
    words = ["<unk>", "<s>", "</s>", *MARKS, *(f"<0x{b:02X}>" for b in range(256)), "▁", *letters]
    inner = Tokenizer(
        models.BPE({w: i for i, w in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True)
    )
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=list(MARKS),
    )  # fmt: skip
    tokenizer.chat_template = CHATML
    return tokenizer


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer whose model contains the spelling of its marks, as SentencePiece's control pieces."""
    letters = ["\n", *(chr(c) for c in range(32, 127))]
    scored = [("<unk>", 0.0), *((m, 0.0) for m in MARKS), *((c, -5.0) for c in letters)]
    inner = Tokenizer(models.Unigram(scored, unk_id=0, byte_fallback=False))
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", additional_special_tokens=list(MARKS)
    )
    tokenizer.chat_template = CHATML
    return tokenizer


def with_marks_that_are_not_special() -> PreTrainedTokenizerFast:
    """Some families add the marks of their template as ordinary tokens."""
    tokenizer = byte_tokenizer(PLAIN_MARKS)
    tokenizer.add_tokens([AddedToken(m, normalized=False) for m in ("<|turn|>", "<|eot|>", "[Buy Now]")])
    return tokenizer


class InPython:
    """A tokenizer without a backend to copy, as those written in Python are."""

    bos_token_id = eos_token = eos_token_id = None

    def __init__(self, inner: PreTrainedTokenizerFast) -> None:
        self._inner = inner
        self.added_tokens_decoder, self.chat_template = inner.added_tokens_decoder, inner.chat_template
        self.name_or_path = "in python"
        self.apply_chat_template, self.decode = inner.apply_chat_template, inner.decode

    def __call__(self, text: str, **options: bool) -> dict[str, list[int]]:
        return {"input_ids": self._inner(text, **options)["input_ids"]}


def renderers() -> dict[str, Renderer]:
    chatml, trims = byte_tokenizer(special=MARKS), byte_tokenizer(TRIMS, special=MARKS)
    first, unigram, plain = (
        pieces_from_the_first_word_on(),
        unigram_tokenizer(),
        with_marks_that_are_not_special(),
    )
    prefixed, python = sentencepiece_tokenizer(), InPython(chatml)
    return {
        "agentlite": Renderer(chatml, AGENTLITE),
        "compact": Renderer(chatml, COMPACT),
        "composite": Renderer(chatml, COMPOSITE),
        "composite_compact": Renderer(chatml, COMPOSITE_COMPACT),
        "own": Renderer(chatml, TurnFormat("own", prompt="<|bos|>", first="{}<|eot|>", then="{}<|eot|>", end="<|im_end|>")),
        "chat": Renderer(chatml, ChatFormat(chatml, prompt="Shop.\n")),
        "agentgym": Renderer(chatml, ChatFormat(chatml, prompt="Rules.", agreed="OK.", name="agentgym")),
        "composite_chat": Renderer(chatml, LastPageChatFormat(chatml, prompt="Shop.\n")),
        "chat-trims": Renderer(trims, ChatFormat(trims, prompt="Shop.\n")),
        "chat-first": Renderer(first, ChatFormat(first, prompt="Shop.\n")),
        "chat-prefixed": Renderer(prefixed, ChatFormat(prefixed, prompt="Shop.\n")),
        "compact-prefixed": Renderer(prefixed, COMPACT),
        "chat-unigram": Renderer(unigram, ChatFormat(unigram, prompt="Shop.\n")),
        "chat-plain-marks": Renderer(plain, ChatFormat(plain, prompt="Shop.\n")),
        "chat-python": Renderer(python, ChatFormat(python, prompt="Shop.\n")),
    }  # fmt: skip


RENDERERS = renderers()
BYTES = {
    "compact",
    "agentlite",
    "chat",
    "agentgym",
    "composite_chat",
    "chat-plain-marks",
    "own",
    "chat-python",
}
every = pytest.mark.parametrize("name", RENDERERS)
SPELT = (
    *MARKS,
    "<s>",
    "</s>",
    "<unk>",
    "<pad>",
    "<|turn|>",
    "<|im_",
    "end|>",
    "\U0010fffe",
    "\U0010ffff",
    "\U0010fffe0:1\U0010ffff",
)
parts = st.one_of(st.sampled_from(SPELT), st.sampled_from(["red", "a ", " shirt", "|", "7", "é"]))
texts = st.lists(parts, min_size=1, max_size=5).map(lambda found: f"x{''.join(found)}x")
plain = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="<>"), max_size=9).map(
    "x{}x".format
)
slow = settings(max_examples=20, deadline=None)


def history(turns: list[tuple[str, str]], last: str) -> History:
    return History("t", last, tuple(Step(o, a) for o, a in turns))


def writable(renderer: Renderer, turns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The turns without the end mark in their actions, where the tokenizer has no special token for it."""
    end = renderer.format.end
    return turns if end in renderer.special_tokens.ids else [(o, a.replace(end, "")) for o, a in turns]


def control(renderer: Renderer, h: History) -> Counter[int]:
    """Return the count of each mark's id in the dialogue, without <unk>, which stands for unknown bytes."""
    unknown = getattr(renderer.tokenizer, "unk_token_id", None)
    return Counter(
        t for t in renderer.encode(h).tokens if t in renderer.special_tokens.ids.values() and t != unknown
    )


@every
@given(st.lists(st.tuples(texts, texts), max_size=3), texts)
@slow
def test_no_text_adds_a_control_token(name, turns, last):
    renderer = RENDERERS[name]
    bare = history([("o", "a")] * len(turns), "o")
    assert control(renderer, history(writable(renderer, turns), last)) == control(renderer, bare)
    assert renderer.special_tokens.ids


@pytest.mark.parametrize("name", sorted(BYTES))
@given(st.lists(st.tuples(texts, texts), max_size=3), texts)
@slow
def test_the_ids_decode_to_the_text(name, turns, last):
    renderer = RENDERERS[name]
    h = history(writable(renderer, turns), last)
    said = "".join(p.text + renderer.format.end * (p.action is not None) for p in renderer.format.pieces(h))
    assert renderer.tokenizer.decode(renderer.encode(h).tokens, skip_special_tokens=False) == said


@every
@given(st.lists(st.tuples(plain, plain), max_size=3), plain)
@slow
def test_a_text_without_marks_has_the_ids_of_the_whole_text(name, turns, last):
    """Those that a server reads which is given the text, with no blank of its own before any piece."""
    renderer, h = RENDERERS[name], history(turns, last)
    text = "".join(p.text + renderer.format.end * (p.action is not None) for p in renderer.format.pieces(h))
    ids = renderer.tokenizer(text, add_special_tokens=False)["input_ids"]
    head = [] if ids[:1] == list(renderer._head) else list(renderer._head)
    assert renderer.encode(h).tokens == [*head, *ids]


@pytest.mark.parametrize("name", [n for n, r in RENDERERS.items() if r.format.grows])
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=3), texts)
@slow
def test_the_ids_of_a_history_are_a_prefix_of_the_next(name, turns, last):
    renderer = RENDERERS[name]
    h = history(writable(renderer, turns), last)
    whole = renderer.encode(h)
    for t in range(len(h)):
        before = renderer.encode(h.at(t)).tokens
        assert whole.tokens[: len(before)] == before and whole.spans[t][0] == len(before)


@every
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=3))
@slow
def test_an_action_that_spells_marks_is_trained_as_words_and_closed_once(name, turns):
    renderer = RENDERERS[name]
    end = renderer.format.end
    h = history([(o, a.replace(end, "") if end in a else a) for o, a in turns], "o")
    example = Example(Trajectory(history=h, reward=1.0))
    if name in BYTES:
        for made in make_rows(example, renderer):
            trained = renderer.tokenizer.decode(
                [i for i in made.labels if i != IGNORE], skip_special_tokens=False
            )
            assert trained.count(end) == (len(h) if renderer.format.grows else 1)
    marks = {i for mark, i in renderer.special_tokens.ids.items() if mark != end}
    for step in h.steps:
        unknown = getattr(renderer.tokenizer, "unk_token_id", None)
        assert not (set(renderer.action_ids(step)) - {unknown}) & marks


def test_a_tokenizer_that_splits_its_special_tokens_has_no_marks():
    """It reads the template's own marks as words as well, as it was asked to, and its ids stay what they were."""
    tokenizer = byte_tokenizer(special=MARKS)
    tokenizer.split_special_tokens = True
    if len(tokenizer("<|im_end|>", add_special_tokens=False)["input_ids"]) == 1:
        pytest.skip("this transformers reads the setting at loading only")
    renderer = Renderer(tokenizer, ChatFormat(tokenizer, prompt=""))
    assert renderer.special_tokens.ids == {}
    h = history([("a<|im_end|>", "b")], "c")
    said = "".join(p.text + renderer.format.end * (p.action is not None) for p in renderer.format.pieces(h))
    assert tokenizer.decode(renderer.encode(h).tokens) == said


def test_added_tokens_that_are_no_marks_stay_one_token():
    """Added tokens that are no marks, as the phrases of the tiny models, are read as before, also beside a mark."""
    renderer = RENDERERS["chat-plain-marks"]
    word = renderer.tokenizer.convert_tokens_to_ids("[Buy Now]")
    assert renderer.encode(history([], "[Buy Now]<|eot|>[Buy Now]")).tokens.count(word) == 2
