"""From logits to tokens, and which tokens may end an action."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from eefcore.errors import PolicyError
from eefcore.rendering.renderer import Renderer


class Drawn(NamedTuple):
    """One token for each row, and its log-likelihood at temperature 1."""

    tokens: npt.NDArray[np.int64]
    logps: npt.NDArray[np.float32]


def draw(
    logits: torch.Tensor, temperature: npt.NDArray[np.float32], uniform: npt.NDArray[np.float64]
) -> Drawn:
    """a ~ softmax(logits / T), row by row, by the inverse of the cumulated distribution at `uniform`.

    `logits` [rows, vocabulary], `temperature` and `uniform` [rows]; T = 0 takes the likeliest.

    Raises:
        PolicyError: some logits are not numbers.
    """
    logits = logits.float()
    norm = logits.logsumexp(-1)
    if not norm.isfinite().all():
        raise PolicyError(
            "the model's logits are not finite; its weights are damaged, or overflow in this dtype"
        )
    greedy = temperature == 0
    if greedy.all():
        tokens = logits.argmax(-1)
    else:
        warm = torch.from_numpy(np.where(greedy, 1, temperature)).to(logits.device)
        # float64, so that u·total < total, and the token found has a probability above 0.
        total = (logits / warm[:, None]).softmax(-1).cumsum(-1, dtype=torch.float64)
        point = torch.from_numpy(uniform).to(logits.device) * total[:, -1]
        tokens = torch.searchsorted(total, point[:, None], right=True)[:, 0]
        if greedy.any():
            tokens = torch.where(torch.from_numpy(greedy).to(logits.device), logits.argmax(-1), tokens)
    logps = logits.gather(-1, tokens[:, None])[:, 0] - norm
    return Drawn(tokens.cpu().numpy(), logps.cpu().numpy())


def may_end(renderer: Renderer, vocabulary: int) -> npt.NDArray[np.bool_]:
    """[vocabulary] whether an action can be complete with this token; only then is its text looked at.

    Such a token shows the last character of the end mark, or a part of it, or is the tokenizer's own end.
    """
    tokenizer, last = renderer.tokenizer, renderer.format.end[-1]
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], skip_special_tokens=False)
    may = np.zeros(vocabulary, bool)
    may[: len(texts)] = [last in text or (not last.isascii() and "\ufffd" in text) for text in texts]
    if tokenizer.eos_token_id is not None:
        may[tokenizer.eos_token_id] = True
    return may
