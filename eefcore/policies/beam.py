"""Choose actions by beam search over the tokens of one action (Agent Q §4): the likeliest action rather than the greedy one.

The beams are transformers' own. Each question is read anew, so this is for evaluation, where actions are few.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from eefcore.errors import FormatError
from eefcore.policies.hf_engine.policy import HFPolicy
from eefcore.protocols import Reply, Sampling
from eefcore.types import History, StopReason


class BeamPolicy:
    """A policy that takes the likeliest action that beam search finds with the model of `inner`; nothing is drawn at random."""

    def __init__(self, inner: HFPolicy, *, beams: int, at_once: int = 16) -> None:
        self.name = f"{inner.name}+beams"
        self._inner, self._beams, self._at_once = inner, beams, at_once
        self._questions: dict[Hashable, tuple[list[int], History]] = {}
        self._unwritable: list[Hashable] = []

    def length(self, history: History) -> int:
        """Return the tokens of h_t as the inner policy reads it; a beam search reads several times as much."""
        return self._inner.length(history)

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Queue the question."""
        del sampling
        try:
            self._questions[episode] = self._inner.renderer.encode(history).tokens, history
        except FormatError:
            self._unwritable.append(episode)

    @torch.inference_mode()
    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """Return answers to some of the open questions, those of similar length together."""
        if self._unwritable:
            episodes, self._unwritable = self._unwritable, []
            return [(episode, Reply("", stop=StopReason.MALFORMED)) for episode in episodes]
        by_length = sorted(self._questions, key=lambda e: len(self._questions[e][0]))
        questions = {e: self._questions.pop(e) for e in by_length[: self._at_once]}
        room = self._inner.context - self._inner.max_new_tokens
        fitting = {e: question for e, question in questions.items() if len(question[0]) <= room}
        replies = {e: Reply("", stop=StopReason.CONTEXT_LIMIT) for e in questions if e not in fitting}
        actions = self._search([prompt for prompt, _ in fitting.values()]) if fitting else []
        for (episode, (prompt, history)), tokens in zip(fitting.items(), actions, strict=True):
            replies[episode] = self._reply(prompt, history, tokens)
        return list(replies.items())

    def close(self, episode: Hashable) -> None:
        """Drop the episode's question, if one is open."""
        self._questions.pop(episode, None)
        self._unwritable = [e for e in self._unwritable if e != episode]

    def _search(self, prompts: Sequence[list[int]]) -> list[list[int]]:
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
            stopping_criteria=StoppingCriteriaList([_ActionEnd(self._inner, longest)]),
        )
        return [self._cut_at_end(row[longest:].tolist()) for row in out]

    def _cut_at_end(self, tokens: list[int]) -> list[int]:
        """Return `tokens` up to the one that ends the action; all of them if none does."""
        ends = (n for n in range(1, len(tokens) + 1) if self._inner.has_ended(tokens[:n]))
        return tokens[: next(ends, len(tokens))]

    def _reply(self, prompt: list[int], history: History, tokens: list[int]) -> Reply:
        action = self._inner.read_action(history, tokens) if self._inner.has_ended(tokens) else ""
        logps = self._logps(prompt, tokens)
        if not action:
            return self._inner.renderer.refuse(tokens, logps, StopReason.MALFORMED)
        return Reply(action, tuple(tokens), logps)

    def _logps(self, prompt: list[int], tokens: list[int]) -> tuple[float, ...]:
        model = self._inner.model
        ids = torch.tensor([prompt + tokens], device=model.device)
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
        chosen = ids[0, len(prompt) :, None]
        return tuple(logits.log_softmax(-1).gather(-1, chosen)[:, 0].tolist())


class _ActionEnd(StoppingCriteria):
    """Whether each row has ended its action, which begins at position `start`."""

    def __init__(self, policy: HFPolicy, start: int) -> None:
        self._policy, self._start = policy, start
        self._may_end = torch.from_numpy(policy.ending_tokens)

    def __call__(self, input_ids: torch.Tensor, scores: object, **options: object) -> torch.Tensor:
        may_end = self._may_end[input_ids[:, -1].cpu()].tolist()
        rows = [row[self._start :].tolist() for row in input_ids]
        ended = [may and self._policy.has_ended(row) for may, row in zip(may_end, rows, strict=True)]
        return torch.tensor(ended, device=input_ids.device)
