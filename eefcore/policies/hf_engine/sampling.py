"""Sample tokens from logits, and find the tokens that can end an action."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from eefcore.errors import PolicyError
from eefcore.rendering.renderer import Renderer


class SampledTokens(NamedTuple):
    """One token for each row, and its log-likelihood at temperature 1."""

    tokens: npt.NDArray[np.int64]
    logps: npt.NDArray[np.float32]


def sample_tokens(
    logits: torch.Tensor,
    temperature: npt.NDArray[np.float32],
    uniform: npt.NDArray[np.float64],
    allowed: Mapping[int, Sequence[int]] | None = None,
) -> SampledTokens:
    """Sample one token for each row from softmax(logits / T), by the inverse of the cumulative distribution at `uniform`.

    `logits` [rows, vocabulary], `temperature` and `uniform` [rows]; T = 0 takes the likeliest token. A row in `allowed`
    takes one of these tokens; its log-likelihood stays that of the full softmax.

    Raises:
        PolicyError: some logits are infinite or NaN.
    """
    logits = logits.float()
    norm = logits.logsumexp(-1)
    if not norm.isfinite().all():
        raise PolicyError(
            "the model's logits are not finite; its weights are damaged, or overflow in this dtype"
        )
    drawn = _only_allowed(logits, allowed) if allowed else logits
    greedy = temperature == 0
    if greedy.all():
        tokens = drawn.argmax(-1)
    else:
        divisor = torch.from_numpy(np.where(greedy, 1, temperature)).to(logits.device)
        # float64, so that u·total < total, and the token found has a probability above 0.
        total = (drawn / divisor[:, None]).softmax(-1).cumsum(-1, dtype=torch.float64)
        point = torch.from_numpy(uniform).to(logits.device) * total[:, -1]
        tokens = torch.searchsorted(total, point[:, None], right=True)[:, 0]
        if greedy.any():
            tokens = torch.where(torch.from_numpy(greedy).to(logits.device), drawn.argmax(-1), tokens)
    logps = logits.gather(-1, tokens[:, None])[:, 0] - norm
    return SampledTokens(tokens.cpu().numpy(), logps.cpu().numpy())


def _only_allowed(logits: torch.Tensor, allowed: Mapping[int, Sequence[int]]) -> torch.Tensor:
    """Return the logits with -∞ for every token of a row that is not allowed there."""
    masked = logits.clone()
    for row, tokens in allowed.items():
        masked[row] = -torch.inf
        masked[row, list(tokens)] = logits[row, list(tokens)]
    return masked


def end_ids(generation_config: Any, renderer: Renderer) -> frozenset[int]:
    """Return the end tokens of a model: its tokenizer's, and those of its generation config, which may list several.

    A config may name, by default, an id that is a word of its tokenizer; that ends nothing.
    """
    listed = getattr(generation_config, "eos_token_id", None)
    own, marks = renderer.tokenizer.eos_token_id, renderer.special_tokens.ids.values()
    candidates = listed if isinstance(listed, list) else [listed]
    return frozenset(i for i in (*candidates, own) if i is not None and (i == own or i in marks))


def ending_tokens(renderer: Renderer, end_ids: Iterable[int], vocabulary: int) -> npt.NDArray[np.bool_]:
    """Return for each token, [vocabulary], whether an action can be complete with it; only then is its text decoded.

    Such a token holds the last character of the end mark, or a part of it, or is one of the model's `end_ids`.
    """
    tokenizer, last = renderer.tokenizer, renderer.format.end[-1]
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], skip_special_tokens=False)
    ends = np.zeros(vocabulary, bool)
    ends[: len(texts)] = [last in text or (not last.isascii() and "\ufffd" in text) for text in texts]
    ends[list(end_ids)] = True
    return ends
