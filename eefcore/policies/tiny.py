"""Make tiny models: about a million parameters and a BPE tokenizer of their own, without any download.

    tiny         a Llama; stands where Llama-3-8B-Instruct stands in the paper
    tiny-qwen    a Qwen3; stands where Mistral-7B-v0.3 stands, a second architecture

They need no GPU, and are loaded, trained and played by the same code as any Hugging Face model. `notebooks/01_base`
trains the committed ones (`policies.BASES`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from eefcore.errors import ParamsError
from eefcore.policies.loading import model_path
from eefcore.rendering.formats import load_format
from eefcore.training.models import load_model
from eefcore.types import History

ARCHITECTURES = {"llama": LlamaConfig, "qwen3": Qwen3Config}
"""The architectures of tiny models, by name."""

PAD = "<pad>"

_WORDS = Regex(r"B0(?=[A-Z0-9]{8})|[A-Z]{4}| ?[A-Za-z]+|\.\d{1,2}| ?\d{1,3}| ?[^\s\w]|\s+|\w")


def dialogue_texts(histories: Iterable[History], format: str = "compact") -> Iterator[str]:
    """Yield every piece of the dialogues as the tiny model will read it; where h_t does not grow, of the last action alone."""
    form = load_format(format)
    for history in histories:
        for text, action in form.pieces(history if form.grows else history.at(len(history) - 1)):
            yield text if action is None else text + form.end
        if not form.grows:
            yield history.actions[-1] + form.end


class Shape(NamedTuple):
    """The size and architecture of a tiny model."""

    architecture: str = "llama"  # one of `ARCHITECTURES`
    vocabulary: int = 4096  # tokens at most
    hidden: int = 128
    layers: int = 4
    heads: int = 4  # and half as many key heads
    context: int = 2048


class TinyModel(NamedTuple):
    """A tiny model and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast


def start_base(
    start: str | None, texts: Iterable[str], shape: Shape, *, phrases: Sequence[str], seed: int
) -> TinyModel:
    """Return the model that `start` names with a token for each of `phrases`; a new one (`make_base`) if it is None.

    It reads at least the `context` of `shape`: positions are rotations, so that more of them are no weights.
    """
    if start is not None:
        model, tokenizer = add_phrase_tokens(*load_model(model_path(start)), phrases)
        positions = max(model.config.max_position_embeddings, shape.context)
        model.config.max_position_embeddings = positions
        return TinyModel(model, tokenizer)
    return make_base(texts, shape, phrases=phrases, seed=seed)


def make_base(texts: Iterable[str], shape: Shape, *, phrases: Sequence[str] = (), seed: int) -> TinyModel:
    """Learn a tokenizer from `texts`, and make an untrained model for it."""
    tokenizer = make_tokenizer(texts, vocabulary=shape.vocabulary, phrases=phrases)
    return TinyModel(make_model(tokenizer, shape, seed=seed), tokenizer)


def add_phrase_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, phrases: Sequence[str]
) -> TinyModel:
    """Add a token for each of `phrases` that took several tokens; its embedding starts as the mean of theirs.

    So a model that can read is trained further in another format, whose words it would otherwise write letter by letter.
    """
    new = [p for p in dict.fromkeys(phrases) if len(tokenizer.encode(p)) > 1]
    parts = [tokenizer.encode(p) for p in new]
    tokenizer.add_tokens([AddedToken(p, normalized=False) for p in new])
    model.resize_token_embeddings(-(-len(tokenizer) // 64) * 64, mean_resizing=False)
    with torch.no_grad():
        embeddings = cast(torch.nn.Embedding, model.get_input_embeddings()).weight
        for phrase, tokens in zip(new, parts, strict=True):
            embeddings[tokenizer.convert_tokens_to_ids(phrase)] = embeddings[tokens].mean(0)
    return TinyModel(model, tokenizer)


def make_tokenizer(
    texts: Iterable[str], *, vocabulary: int = 4096, phrases: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE tokenizer from `texts`; it reads any text, and product ids of ten letters as three words.

    Args:
        texts: what it learns from.
        vocabulary: tokens, at most.
        phrases: what every observation repeats (`experts.ScriptedExperts`); one token each keeps a dialogue short.
            Text without them can be read too.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORDS, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocabulary - len(phrases),
        min_frequency=4,
        special_tokens=[PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(p, normalized=False) for p in phrases])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, clean_up_tokenization_spaces=False
    )


def make_model(tokenizer: PreTrainedTokenizerFast, shape: Shape, *, seed: int = 0) -> PreTrainedModel:
    """Make an untrained model of `shape` for `tokenizer`, with its embedding tied to its output.

    Few key heads make rollouts quick: at this size they are bound by reading cached keys and values.

    Raises:
        ParamsError: there is no such architecture.
    """
    if shape.architecture not in ARCHITECTURES:
        raise ParamsError(
            f"01_base: architecture {shape.architecture!r}; choose one of {', '.join(ARCHITECTURES)}"
        )
    torch.manual_seed(seed)
    config = ARCHITECTURES[shape.architecture](
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=shape.hidden,
        intermediate_size=3 * shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=max(1, shape.heads // 2),
        head_dim=shape.hidden // shape.heads,
        max_position_embeddings=shape.context,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
    )
    return AutoModelForCausalLM.from_config(config)
