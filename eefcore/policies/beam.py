"""π_θ deciding by beam search over the tokens of one action (Agent Q §4): the likeliest action rather than the greedy one.

The beams are transformers' own. Each question is read anew, so this is for evaluation, where actions are few.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from eefcore.errors import FormatError
from eefcore.policies.hf_engine.policy import HFPolicy
from eefcore.protocols import Reply, Sampling
from eefcore.rendering.formats import can_show
from eefcore.types import History, StopReason


class BeamPolicy:
    """`inner`'s model with `beams` beams, `together` questions at a time; nothing is drawn, so a sampling changes nothing."""

    def __init__(self, inner: HFPolicy, *, beams: int, together: int = 16) -> None:
        self.name = f"{inner.name}+beams"
        self._inner, self._beams, self._together = inner, beams, together
        self._asked: dict[Hashable, tuple[list[int], History]] = {}
        self._unshowable: list[Hashable] = []

    def length(self, history: History) -> int:
        """Return the tokens of h_t as the inner policy reads it; a beam search reads several times as much."""
        return self._inner.length(history)

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Queue the question."""
        del sampling
        try:
            self._asked[episode] = self._inner.renderer.encode(history).tokens, history
        except FormatError:
            self._unshowable.append(episode)

    @torch.inference_mode()
    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """Return answers to some of the open questions, those of similar length together."""
        if self._unshowable:
            episodes, self._unshowable = self._unshowable, []
            return [(episode, Reply("", stop=StopReason.MALFORMED)) for episode in episodes]
        episodes = sorted(self._asked, key=lambda e: len(self._asked[e][0]))[: self._together]
        questions = [self._asked.pop(e) for e in episodes]
        prompts = [prompt for prompt, _ in questions]
        if not prompts:
            return []
        too_long = [len(p) + self._inner.max_new_tokens > self._inner.context for p in prompts]
        fitting = [p for p, long in zip(prompts, too_long, strict=True) if not long]
        written = iter(self._written(fitting) if fitting else [])
        replies = [
            Reply("", stop=StopReason.CONTEXT_LIMIT) if long else self._reply(prompt, history, next(written))
            for (prompt, history), long in zip(questions, too_long, strict=True)
        ]
        return list(zip(episodes, replies, strict=True))

    def close(self, episode: Hashable) -> None:
        """Drop the episode's question, if one is open."""
        self._asked.pop(episode, None)
        self._unshowable = [e for e in self._unshowable if e != episode]

    def _written(self, prompts: Sequence[list[int]]) -> list[list[int]]:
        """Return the likeliest action found for each prompt, its end mark included."""
        model, tokenizer = self._inner.model, self._inner.renderer.tokenizer
        pad, longest = tokenizer.pad_token_id or 0, max(map(len, prompts))
        ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=model.device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=model.device)
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            num_beams=self._beams,
            length_penalty=0.0,  # by log π of the action, whatever its length
            do_sample=False,
            max_new_tokens=self._inner.max_new_tokens,
            pad_token_id=pad,
            stopping_criteria=StoppingCriteriaList([_Ended(self._inner, longest)]),
        )
        return [self._until_end(row[longest:].tolist()) for row in out]

    def _until_end(self, tokens: list[int]) -> list[int]:
        """Return `tokens` up to the one that ends the action; all of them if none does."""
        tokenizer, end = self._inner.renderer.tokenizer, self._inner.renderer.format.end
        for n in range(1, len(tokens) + 1):
            if end in tokenizer.decode(tokens[:n], skip_special_tokens=False):
                return tokens[:n]
        return tokens

    def _reply(self, prompt: list[int], history: History, tokens: list[int]) -> Reply:
        renderer = self._inner.renderer
        action = renderer.decode_action(tokens)
        ended = renderer.format.end in renderer.tokenizer.decode(tokens, skip_special_tokens=False)
        complete = ended and action.strip() and can_show(renderer.format, history, action)
        stop = None if complete else StopReason.MALFORMED
        return Reply("" if stop else action, tuple(tokens), self._logps(prompt, tokens), stop)

    def _logps(self, prompt: list[int], tokens: list[int]) -> tuple[float, ...]:
        model = self._inner.model
        ids = torch.tensor([prompt + tokens], device=model.device)
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
        chosen = ids[0, len(prompt) :, None]
        return tuple(logits.log_softmax(-1).gather(-1, chosen)[:, 0].tolist())


class _Ended(StoppingCriteria):
    """Which rows hold the end of an action after the first `start` tokens."""

    def __init__(self, policy: HFPolicy, start: int) -> None:
        self._may_end = torch.from_numpy(policy.ending_tokens)
        self._renderer, self._start = policy.renderer, start

    def __call__(self, input_ids: torch.Tensor, scores: object, **how: object) -> torch.Tensor:
        ended = self._may_end[input_ids[:, -1].cpu()].tolist()
        end, tokenizer = self._renderer.format.end, self._renderer.tokenizer
        said = [
            may and end in tokenizer.decode(row[self._start :], skip_special_tokens=False)
            for may, row in zip(ended, input_ids, strict=True)
        ]
        return torch.tensor(said, device=input_ids.device)
