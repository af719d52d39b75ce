"""The tiny model: a Llama of about a million parameters and its own BPE tokenizer, made from nothing.

It stands where Llama-3-8B-Instruct stands in the paper, needs no download and no GPU, and walks the same
path as any Hugging Face model. `notebooks/01_base` makes the committed one (`BASE`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from eefcore.formats import COMPACT
from eefcore.types import History

BASE = Path(__file__).parent / "base"
"""The committed tiny base."""

PAD = "<pad>"

PHRASES = (
    "WEB PAGE: {\n[Back to Search] \nPage ",
    " (Total results: 15) \n[Next >] \n[",
    " (Total results: 15) \n[< Prev] \n[Next >] \n[",
    "WEB PAGE: {\n[Back to Search] \n[< Prev] \n",
    "WEB PAGE: {Let us begin shopping \n[Search]}\n> ",
    "WEB PAGE: {You have clicked ",
    " \nRating: N.A. \n[Description] \n[Features] \n[Reviews] \n[Buy Now] }\n> ",
    " \n[Buy Now] }\n> ",
    " \nPrice: $",
    " }\n> ",
    ".}\n> ",
    "OK\n> ",
    "\n> ",
    "] \n",
    " \n$",
    " \n[",
    "][",
    "]\n",
    'Think[{"response": "',
    'search[{"product": "',
    'click[{"button": "',
    '"}]\n',
    ", and price lower than ",
    ".00 dollars",
    "Buy Now",
    "Back to Search",
    "Next >",
    "< Prev",
)
"""What every page repeats; one token each keeps a dialogue short. Text without them is read all the same."""

_WORDS = Regex(r"B0(?=[A-Z0-9]{8})|[A-Z]{4}| ?[A-Za-z]+|\.\d{1,2}| ?\d{1,3}| ?[^\s\w]|\s+|\w")


def texts(histories: Iterable[History]) -> Iterator[str]:
    """Every piece of the dialogues as the tiny model will see it, for `make_tokenizer`."""
    for history in histories:
        for text, action in COMPACT.pieces(history):
            yield text if action is None else text + COMPACT.end


def make_tokenizer(texts: Iterable[str], *, vocabulary: int = 4096) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer learnt from `texts`; it reads any text, and ids of products as three words."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORDS, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocabulary - len(PHRASES),
        min_frequency=4,
        special_tokens=[PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(p, normalized=False) for p in PHRASES])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, clean_up_tokenization_spaces=False
    )


def make_model(
    tokenizer: PreTrainedTokenizerFast,
    *,
    hidden: int = 128,
    layers: int = 4,
    heads: int = 4,
    key_heads: int = 2,
    context: int = 2048,
    seed: int = 0,
) -> LlamaForCausalLM:
    """An untrained Llama for `tokenizer`, with its embedding tied to its output.

    Few key heads make rollouts quick: at this size they are bound by reading cached keys and values.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        max_position_embeddings=context,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
    )
    return LlamaForCausalLM(config)
