"""Chat templates in the manner of the families that people use, in our own words, and tokenizers like theirs.

Words are joined from letters, so that a border between two pieces can fall inside of a word; nothing is downloaded.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

_TEXT = [
    "Task: buy a red cotton shirt, size large, and price lower than 50.00 dollars\n\n\n",
    "Action:search[red cotton shirt]\nObservation: WEB PAGE: [Back to Search] [Next >] B0ABC $12.99 to $20.00\n\n",
    "Action:click[B0ABC]\n> click[Buy Now]\n> search[red shirt]\n\nThought: It isn't here , so go back !\n",
    "café – Crème 🧴 über 日本 emoji 🛒",
] * 40  # fmt: skip
_NEWER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How newer families split words: a sign may join the letters after it, and newlines join the sign before them."""


@cache
def byte_level(
    marks: tuple[str, ...],
    *,
    bos: str | None = None,
    eos: str | None = None,
    newer: bool = False,
    rstrip: bool = False,
) -> PreTrainedTokenizerFast:
    """As GPT-2's, or with `newer` as Llama 3's and Qwen's; `rstrip`: marks swallow the blanks after them, as Phi-3's."""
    inner = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(_NEWER), "isolated")
    parts = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not newer)]
    inner.pre_tokenizer = pre_tokenizers.Sequence([split, *parts] if newer else parts)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        _TEXT,
        trainers.BpeTrainer(
            vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    return _finish(inner, marks, bos, eos, rstrip=rstrip)


@cache
def sentencepiece(marks: tuple[str, ...], *, prepend: str = "first") -> PreTrainedTokenizerFast:
    """As Llama 2's and Mistral's: `▁` for blanks, one before the first word of a text (or of each part of it, `always`)."""
    inner = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    words = pre_tokenizers.Split(Regex(r"\n|[^\w ]"), "isolated")  # no token goes over a sign or a line
    inner.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.Metaspace(prepend_scheme="never")])
    strip = decoders.Strip(" ", 1, 0)
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip]
    )
    special = ["<unk>", "<s>", "</s>", *marks, *(f"<0x{i:02X}>" for i in range(256))]
    inner.train_from_iterator(
        _TEXT, trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    )
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend, split=False)
    return _finish(inner, marks, "<s>", "</s>", unk_token="<unk>")


def _finish(
    inner: Tokenizer,
    marks: tuple[str, ...],
    bos: str | None,
    eos: str | None,
    *,
    rstrip: bool = False,
    **more: str,
) -> PreTrainedTokenizerFast:
    from tokenizers import AddedToken

    every = [mark for mark in (bos, eos, *marks) if mark]
    inner.add_special_tokens([AddedToken(mark, special=True, rstrip=rstrip) for mark in dict.fromkeys(every)])
    if bos:
        inner.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, inner.token_to_id(bos))]
        )
    own = {"bos_token": bos, "eos_token": eos} | more
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, clean_up_tokenization_spaces=False, **{k: v for k, v in own.items() if v}
    )


_CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LLAMA_2 = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns alternate') }}"
    "{% endif %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content | trim + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
)
_LLAMA_3 = (
    "{{ bos_token }}{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "<|start_header_id|>system<|end_header_id|>\n\nToday is {{ date_string }}.<|eot_id|>"
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }}BEFORE[/INST]"
    "{% elif m.role == 'assistant' %}LEAD{{ m.content }}{{ eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
)
_GEMMA = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns alternate') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_PHI_3 = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
_QWEN_3 = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% set said = m.content.split('</think>')[-1].lstrip('\n') %}"
    "{% if loop.index0 > ns.last %}<think>\n\n</think>\n\n{% endif %}{{ said }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
_VICUNA = (
    "{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }}{% else %}ASSISTANT:{{ m.content }}{{ eos_token }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


class Family(NamedTuple):
    """A tokenizer with a template, how an action ends in it, and the template arguments that it needs."""

    tokenizer: PreTrainedTokenizerFast
    template: str
    end: str
    args: str | None = None
    grows: bool = True

    def load(self) -> PreTrainedTokenizerFast:
        """Return the tokenizer with the template."""
        self.tokenizer.chat_template = self.template
        return self.tokenizer


_IM = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>")
_TURNS = ("<start_of_turn>", "<end_of_turn>")
_PHI = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
_INST = ("[INST]", "[/INST]")


def _mistral(lead: str, before: str) -> str:
    return _MISTRAL.replace("BEFORE", before).replace("LEAD", lead)


FAMILIES = {
    "llama-2": Family(sentencepiece((), prepend="always"), _LLAMA_2, " </s>"),
    "llama-3": Family(byte_level(_HEADERS, bos="<|begin_of_text|>", eos="<|eot_id|>", newer=True), _LLAMA_3, "<|eot_id|>"),
    "mistral-0.1": Family(sentencepiece((), prepend="always"), _mistral("", " "), "</s>"),
    "mistral-0.2": Family(sentencepiece(()), _mistral(" ", " "), "</s>"),
    "mistral-0.3": Family(sentencepiece(_INST), _mistral(" ", ""), "</s>"),
    "qwen2.5": Family(byte_level(_IM, eos="<|im_end|>", newer=True), _CHATML, "<|im_end|>"),
    "qwen3": Family(byte_level(_IM, eos="<|im_end|>", newer=True), _QWEN_3, "<|im_end|>", "enable_thinking: false", False),
    "qwen3-trained": Family(byte_level(_IM, eos="<|im_end|>", newer=True), _QWEN_3, "<|im_end|>", "enable_thinking: true"),
    "gemma-2": Family(byte_level(_TURNS, bos="<bos>", eos="<eos>"), _GEMMA, "<end_of_turn>"),
    "gemma-3": Family(byte_level(_TURNS, bos="<bos>", eos="<eos>", newer=True), _GEMMA, "<end_of_turn>"),
    "phi-3": Family(byte_level(_PHI, eos="<|endoftext|>", rstrip=True), _PHI_3, "<|end|>"),
    "smollm2": Family(byte_level(_IM, bos="<|im_start|>", eos="<|im_end|>"), _CHATML, "<|im_end|>"),
    "vicuna": Family(byte_level((), eos="</s>", newer=True), _VICUNA, "</s>"),
}  # fmt: skip
"""By name; two families may share a tokenizer, whose template `load` sets."""
