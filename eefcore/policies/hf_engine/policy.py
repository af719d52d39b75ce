"""π_θ as a Hugging Face causal language model, many episodes at once on one device.

Each episode keeps its keys and values between its turns, so a turn reads only what is new: the end
mark of the last action and the observation that answered it. Every forward takes all slots along;
some write the next token of their action, others read what they have not read yet. A slot that an
episode leaves is taken by one that waits.

What is drawn for an episode depends on its history, its temperature and its seed alone: the n-th
token takes the n-th number of the episode's own stream (`draws`), by the inverse of the cumulated
distribution. Its neighbours can change it only through the last bits of a float.

Log-likelihoods are those of the full softmax at temperature 1, whatever the temperature of the draw
(DESIGN 4.3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from eefcore.errors import FormatError, PolicyError
from eefcore.policies.hf_engine.attention import ATTENTION, Reading
from eefcore.policies.hf_engine.batch import Seats
from eefcore.policies.hf_engine.kv_cache import Slots, Span, block_cost
from eefcore.policies.hf_engine.rng import uniforms
from eefcore.policies.hf_engine.sampling import draw, may_end
from eefcore.protocols import Reply, Sampling
from eefcore.rendering.formats import can_show, load_format
from eefcore.rendering.renderer import Renderer
from eefcore.training.models import load_model
from eefcore.types import History, StopReason

_READ_AT_ONCE = 4096  # tokens a forward reads at most: bounds the memory of a first turn
_ARRANGE_EVERY, _WORTH_MOVING = 8, 1.1  # a sort costs about as much as one forward

# The self-check compares logits relatively, but no finer than if they were of this size (root mean square). Logits
# that cancel to about zero are nothing but rounding, which differs between processors and is as large as they are.
# In float32 the check thus allows 1e-4 a logit, which changes no probability by more than about 0.02 %.
_SMALL_LOGIT = 0.1


class HFPolicy:
    """A causal LM with one slot an episode; `slots` episodes are played at a time, the others wait.

    The model's attention is switched to `eefcore.policies.hf_engine.attention`, which outside a rollout is
    transformers' own `sdpa`.

    Raises:
        PolicyError: the model can't be kept in slots (sliding windows, recurrent layers …), or its
            vocabulary is smaller than the tokenizer's.
    """

    def __init__(
        self,
        model: Any,
        renderer: Renderer,
        *,
        slots: int = 64,
        max_new_tokens: int = 96,
        context: int | None = None,
        name: str = "hf",
    ) -> None:
        config = model.config.get_text_config()  # the language part, where a model also sees
        self.name, self.context = name, context or config.max_position_embeddings
        self.tokens_read = 0
        """Tokens read that this policy had not written itself; each once, unless its slot was lost."""
        self.tokens_written = 0
        """Tokens sampled."""
        vocabulary = config.vocab_size
        if len(renderer.tokenizer) > vocabulary:
            raise PolicyError(
                f"{name}: the tokenizer has {len(renderer.tokenizer)} tokens, the model {vocabulary}; "
                "load the tokenizer that was saved with this model"
            )
        self.model, self.renderer, self.max_new_tokens = model.eval(), renderer, max_new_tokens
        model.set_attn_implementation(ATTENTION)
        self._device = next(model.parameters()).device
        # A mask of this shape is passed on as it is by every model; ours is in the reading.
        self._no_mask = torch.zeros(1, 1, 1, 1, device=self._device)
        self._check()

        self.may_end = may_end(renderer, vocabulary)
        self._slots, self._seats = Slots(slots, self.context), Seats(slots, self.context)
        self._asked: dict[Hashable, _Question] = {}
        self._waiting: deque[Hashable] = deque()
        self._ready: dict[Hashable, Reply] = {}
        self._forwards = 0

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        adapter: str | Path | None = None,
        format: str = "compact",
        slots: int = 64,
        max_new_tokens: int = 96,
        context: int | None = None,
        device: str = "auto",
        dtype: torch.dtype | None = None,
    ) -> HFPolicy:
        """Load the policy of a model folder, an adapter's folder or a hub name, with its tokenizer (`load_model`).

        `dtype` is float32 on a CPU, where it is also the fastest, and bfloat16 elsewhere, unless given.

        Raises:
            PolicyError: nothing there can be loaded, or it can't be kept in slots.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = dtype or (torch.float32 if device == "cpu" else torch.bfloat16)
        # Merging loses nothing in float32, and only there.
        model, tokenizer = load_model(path, adapter=adapter, merge=dtype == torch.float32, dtype=dtype)
        model = model.to(device)
        renderer = Renderer(tokenizer, load_format(format, tokenizer))
        name = Path(adapter or path).name
        return cls(model, renderer, slots=slots, max_new_tokens=max_new_tokens, context=context, name=name)

    def length(self, history: History) -> int:
        """Tokens of h_t as this policy reads it, what it wrote among them."""
        return self.renderer.length(history)

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Queue the question; what the episode's slot already holds of `history` is not read again."""
        if episode in self._asked or episode in self._ready:
            raise PolicyError(f"episode {episode!r} was asked twice; take its answer first, or close it")
        try:
            prompt = self.renderer.encode(history).tokens
        except FormatError:
            self._ready[episode] = Reply("", stop=StopReason.MALFORMED)
            return
        if len(prompt) >= self.context:
            self._ready[episode] = Reply("", stop=StopReason.CONTEXT_LIMIT)
            return
        self._asked[episode] = _Question(prompt, sampling, history)
        if episode in self._seats:
            self.tokens_read += self._seats.begin(episode, prompt, sampling)
        else:
            self._waiting.append(episode)

    @torch.inference_mode()
    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """The next actions that are complete; the others go on from where they are at the next call."""
        while self._waiting and self._seats.seat(self._waiting[0]):
            episode = self._waiting.popleft()
            self.tokens_read += self._seats.begin(episode, *self._asked[episode][:2])
        while not self._ready and self._seats.busy.any():
            if self._forwards % _ARRANGE_EVERY == 0:
                self._arrange()
            self._forwards += 1
            self._forward()
        ready, self._ready = self._ready, {}
        return list(ready.items())

    def close(self, episode: Hashable) -> None:
        """Give the episode's slot to one that waits; an open question of it is dropped."""
        self._ready.pop(episode, None)
        asked = self._asked.pop(episode, None)
        if episode in self._seats:
            self._seats.leave(episode)
        elif asked is not None:
            self._waiting.remove(episode)
        if not len(self._seats):
            self._forwards = 0  # a batch is the same to the bit whatever was played before it

    def _arrange(self) -> None:
        """Sort the slots by length, those in use first, if forwards become much narrower by it."""
        seats = self._seats
        lengths = np.where(seats.busy, seats.length, 0)
        order = np.lexsort((seats.length, ~seats.busy))
        if block_cost(lengths[order]) * _WORTH_MOVING < block_cost(lengths):
            self._slots.permute(order, seats.known)
            seats.permute(order)

    def _forward(self) -> None:
        """Every busy slot reads what it has not read; those that are through write one token."""
        seats = self._seats
        busy = np.flatnonzero(seats.busy)
        unread = seats.length[busy] - seats.known[busy]
        ones, spans, room = busy[unread == 1], [], _READ_AT_ONCE
        for slot in busy[unread > 1].tolist():
            if room > 0:
                start, stop = int(seats.known[slot]), int(seats.length[slot])
                spans.append(Span(slot, start, min(stop, start + room)))
                room -= spans[-1].stop - start
        reading = Reading(self._slots, ones, seats.known[ones], spans, self._device)
        seats.known[reading.slot] = reading.position + 1  # of several positions of a slot, the last one stays
        writers = np.flatnonzero(reading.position + 1 == seats.length[reading.slot])
        slots = reading.slot[writers]
        logits = self._logits(seats.tokens[reading.slot, reading.position], reading, writers)
        drawn = draw(logits, seats.temperature[slots], uniforms(seats.seed[slots], seats.length[slots]))
        seats.write(slots, *drawn)
        self.tokens_written += len(slots)
        limit = np.minimum(seats.start[slots] + self.max_new_tokens, self.context)
        for slot in slots[self.may_end[drawn.tokens] | (seats.length[slots] >= limit)].tolist():
            self._finish(slot)

    def _logits(
        self, tokens: npt.NDArray[np.int64], reading: Reading, at: npt.NDArray[np.int64]
    ) -> torch.Tensor:
        """[len(at), vocabulary], what follows the packed `tokens` up to each of `at`."""
        return self.model(
            input_ids=torch.from_numpy(tokens[None]).to(self._device),
            position_ids=torch.from_numpy(reading.position[None]).to(self._device),
            attention_mask=self._no_mask,
            use_cache=False,
            logits_to_keep=torch.from_numpy(at).to(self._device),
            reading=reading,
        ).logits[0]

    def _finish(self, slot: int) -> None:
        """Answer the slot's question if its action is complete, or can't become so."""
        tokens, logps = self._seats.written(slot)
        asked = self._asked[self._seats.episode(slot)]
        tokenizer, action, stop = self.renderer.tokenizer, "", None
        said = tokenizer.decode(tokens, skip_special_tokens=False)
        if self.renderer.format.end in said or tokens[-1] == tokenizer.eos_token_id:
            action = self.renderer.decode_action(tokens)
            if not action.strip() or not can_show(self.renderer.format, asked.history, action):
                action, stop = "", StopReason.MALFORMED
        elif self._seats.length[slot] >= self.context:
            stop = StopReason.CONTEXT_LIMIT
        elif len(tokens) >= self.max_new_tokens:
            stop = StopReason.MALFORMED
        else:
            return  # it only looked like an end
        episode = self._seats.end(slot)
        del self._asked[episode]
        self._ready[episode] = Reply(action, tokens, logps, stop)

    @torch.inference_mode()
    def _check(self) -> None:
        """Read two short rows in two parts each, and compare with reading them whole.

        Raises:
            PolicyError: the model does not keep in slots what it needs to know.
        """
        kind, advice = type(self.model).__name__, "serve it with vLLM (policy: vllm:… or openai:…)"
        text = np.arange(1, 9, dtype=np.int64) * 7919 % self.model.config.get_text_config().vocab_size
        slots, none = Slots(2, self.context), np.zeros(0, np.int64)
        try:
            first = Reading(slots, none, none, [Span(0, 0, 5), Span(1, 0, 3)], self._device)
            self._logits(text[first.position], first, np.array([4, 7]))
            second = Reading(slots, np.array([1]), np.array([3]), [Span(0, 5, 8)], self._device)
            kept = self._logits(text[second.position], second, np.array([0, 3])).float()
            whole = self.model(input_ids=torch.from_numpy(text[None]).to(self._device)).logits[0].float()
        except (TypeError, ValueError) as error:
            raise PolicyError(
                f"{self.name}: {kind} does not take what the slot cache passes ({error}); {advice}"
            ) from error
        expected = whole[[3, 7]]
        apart = (
            (kept - expected).norm() / max(expected.norm(), _SMALL_LOGIT * expected.numel() ** 0.5)
        ).item()
        tolerance = 1e-3 if self.model.dtype == torch.float32 else 0.1
        if slots.empty or not apart < tolerance:
            raise PolicyError(
                f"{self.name}: {kind} read in two parts gives logits {apart:.1%} apart from reading at once "
                f"(expected below {tolerance:.1%}), so it keeps more than keys and values; {advice}"
            )


class _Question(NamedTuple):
    prompt: list[int]
    sampling: Sampling
    history: History
