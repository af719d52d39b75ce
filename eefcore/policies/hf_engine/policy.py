"""Play many episodes at once with a Hugging Face causal language model, π_θ, on one device.

Each episode keeps its keys and values between its turns, so a turn reads only what is new. Every forward pass is over
all slots; some write the next token of their action, others read what they have not read yet.

What is sampled for an episode depends on its history, its temperature and its seed alone (`rng`); its neighbours can
change it only through the last bits of a float. Log-likelihoods are those of the full softmax at temperature 1,
whatever the temperature of the sampling.
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
from eefcore.policies.hf_engine.attention import ATTENTION, PackedBatch
from eefcore.policies.hf_engine.batch import EpisodeBatch
from eefcore.policies.hf_engine.kv_cache import KVCache, Span, block_cost
from eefcore.policies.hf_engine.rng import random_uniforms
from eefcore.policies.hf_engine.sampling import end_ids, ending_tokens, sample_tokens
from eefcore.protocols import Reply, Sampling
from eefcore.rendering.formats import can_show
from eefcore.rendering.renderer import Renderer, make_renderer
from eefcore.training.models import load_model
from eefcore.types import History, Step, StopReason

_MAX_READ_TOKENS = 4096  # tokens that a forward pass reads, at most: bounds the memory of a first turn
_SORT_EVERY, _WORTH_SORTING = 8, 1.1  # a sort costs about as much as one forward pass

# The self-check compares logits relatively, but no finer than if they were of this size (root mean square). Logits
# that cancel to about zero are nothing but rounding, which differs between processors and is as large as they are.
# In float32 the check thus allows 1e-4 a logit, which changes no probability by more than about 0.02 %.
_SMALL_LOGIT = 0.1


class HFPolicy:
    """A causal LM with one slot per episode; `slots` episodes are played at a time, the others wait.

    The model's attention is switched to `eefcore.policies.hf_engine.attention`, which outside a rollout is
    transformers' own `sdpa`.

    Raises:
        PolicyError: the model can't be kept in slots (sliding windows, recurrent layers …), or its
            vocabulary is smaller than the tokenizer's.
    """

    chooses = True

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
        self.name, self.context = name, config.max_position_embeddings if context is None else context
        self.tokens_read = 0
        """Tokens read that this policy had not written itself; each counts once, unless its episode lost its slot."""
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
        # Every model passes on a mask of this shape as it is; the real mask is in the `PackedBatch`.
        self._no_mask = torch.zeros(1, 1, 1, 1, device=self._device)
        self._check_cache()

        self._end_ids = end_ids(getattr(model, "generation_config", None), renderer)
        self.ending_tokens = ending_tokens(renderer, self._end_ids, vocabulary)
        """Of each token, [vocabulary], whether an action can be complete with it."""
        self._cache, self._batch = KVCache(slots, self.context), EpisodeBatch(slots, self.context)
        self._questions: dict[Hashable, _Question] = {}
        self._waiting: deque[Hashable] = deque()
        self._replies: dict[Hashable, Reply] = {}
        self._forwards = 0

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        adapter: str | Path | None = None,
        format: str = "compact",
        template_args: str | None = None,
        slots: int = 64,
        max_new_tokens: int = 96,
        context: int | None = None,
        device: str = "auto",
        dtype: torch.dtype | str | None = None,
    ) -> HFPolicy:
        """Load the policy of a model folder, an adapter's folder or a hub name, with its tokenizer (`load_model`).

        `dtype` is float32 on a CPU and bfloat16 elsewhere, unless given. A CPU with bfloat16 instructions plays models of about
        100 million parameters and more faster in bfloat16 (`hf?dtype=bfloat16`), with less exact log-likelihoods.

        Raises:
            PolicyError: nothing there can be loaded, or it can't be kept in slots.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = dtype or ("float32" if device == "cpu" else "bfloat16")
        dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        # Merging loses nothing in float32, and only there.
        model, tokenizer = load_model(path, adapter=adapter, merge=dtype == torch.float32, dtype=dtype)
        model = model.to(device)
        renderer = make_renderer(tokenizer, format, template_args)
        name = Path(adapter or path).name
        return cls(model, renderer, slots=slots, max_new_tokens=max_new_tokens, context=context, name=name)

    def length(self, history: History) -> int:
        """Return the number of tokens of h_t as this policy reads it, including what it wrote."""
        return self.renderer.length(history)

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Queue the question h_t of `episode`; what its slot already holds of `history` is not read again."""
        if episode in self._questions or episode in self._replies:
            raise PolicyError(f"episode {episode!r} was asked twice; take its answer first, or close it")
        try:
            prompt = self.renderer.encode(history).tokens
            choices = tuple(self.renderer.action_ids(Step("", text)) for text in sampling.choices)
        except FormatError:
            self._replies[episode] = Reply("", stop=StopReason.MALFORMED)
            return
        if len(prompt) >= self.context:
            self._replies[episode] = Reply("", stop=StopReason.CONTEXT_LIMIT)
            return
        self._questions[episode] = _Question(prompt, sampling, history, choices)
        if episode in self._batch:
            self.tokens_read += self._batch.open_question(episode, prompt, sampling)
        else:
            self._waiting.append(episode)

    @torch.inference_mode()
    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """Return the next actions that are complete; the others are continued at the next call."""
        while self._waiting and self._batch.assign_slot(self._waiting[0]):
            episode = self._waiting.popleft()
            self.tokens_read += self._batch.open_question(episode, *self._questions[episode][:2])
        while not self._replies and self._batch.busy.any():
            if self._forwards % _SORT_EVERY == 0:
                self._sort_slots()
            self._forwards += 1
            self._decode_step()
        replies, self._replies = self._replies, {}
        return list(replies.items())

    def close(self, episode: Hashable) -> None:
        """Free the episode's slot for a waiting one, and drop its open question."""
        self._replies.pop(episode, None)
        question = self._questions.pop(episode, None)
        if episode in self._batch:
            self._batch.free_slot(episode)
        elif question is not None:
            self._waiting.remove(episode)
        if not len(self._batch):
            self._forwards = 0  # so that a batch is the same to the bit whatever was played before it

    def _sort_slots(self) -> None:
        """Sort the slots by length, those in use first, if that makes forward passes much narrower."""
        batch = self._batch
        lengths = np.where(batch.busy, batch.length, 0)
        order = np.lexsort((batch.length, ~batch.busy))
        if block_cost(lengths[order]) * _WORTH_SORTING < block_cost(lengths):
            self._cache.permute(order, batch.n_read)
            batch.permute(order)

    def _decode_step(self) -> None:
        """Run one forward pass: slots with unread tokens read them, and the other busy slots write one token."""
        batch = self._batch
        busy = np.flatnonzero(batch.busy)
        unread = batch.length[busy] - batch.n_read[busy]
        singles, spans, budget = busy[unread == 1], [], _MAX_READ_TOKENS
        for slot in busy[unread > 1].tolist():
            if budget > 0:
                start, stop = int(batch.n_read[slot]), int(batch.length[slot])
                spans.append(Span(slot, start, min(stop, start + budget)))
                budget -= spans[-1].stop - start
        packed = PackedBatch(self._cache, singles, batch.n_read[singles], spans, self._device)
        batch.n_read[packed.slot] = packed.position + 1  # of several positions of a slot, the last one stays
        writers = np.flatnonzero(packed.position + 1 == batch.length[packed.slot])
        slots = packed.slot[writers]
        logits = self._logits(batch.tokens[packed.slot, packed.position], packed, writers)
        uniforms = random_uniforms(batch.seed[slots], batch.length[slots])
        allowed = {row: tokens for row, slot in enumerate(slots.tolist()) if (tokens := self._allowed(slot))}
        sampled = sample_tokens(logits, batch.temperature[slots], uniforms, allowed)
        batch.append_tokens(slots, *sampled)
        self.tokens_written += len(slots)
        limit = np.minimum(batch.action_start[slots] + self.max_new_tokens, self.context)
        for slot in slots[self.ending_tokens[sampled.tokens] | (batch.length[slots] >= limit)].tolist():
            self._finish_action(slot)

    def _allowed(self, slot: int) -> list[int]:
        """Return the tokens that continue one of the choices of a slot; none if its action is not limited to choices."""
        choices = self._questions[self._batch.episode(slot)].choices
        written = self._batch.action(slot)[0] if choices else ()
        n = len(written)
        return sorted({ids[n] for ids in choices if ids[:n] == written and len(ids) > n})

    def _logits(
        self, tokens: npt.NDArray[np.int64], packed: PackedBatch, at: npt.NDArray[np.int64]
    ) -> torch.Tensor:
        """Return the logits after each of the packed `tokens` whose index is in `at`, [len(at), vocabulary]."""
        return self.model(
            input_ids=torch.from_numpy(tokens[None]).to(self._device),
            position_ids=torch.from_numpy(packed.position[None]).to(self._device),
            attention_mask=self._no_mask,
            use_cache=False,
            logits_to_keep=torch.from_numpy(at).to(self._device),
            packed_batch=packed,
        ).logits[0]

    def _finish_action(self, slot: int) -> None:
        """Answer the slot's question if its action is complete, or can't become complete."""
        tokens, logps = self._batch.action(slot)
        history, action, stop = self._questions[self._batch.episode(slot)].history, "", None
        if self.has_ended(tokens):
            action = self.read_action(history, tokens)
            stop = None if action else StopReason.MALFORMED
        elif self._batch.length[slot] >= self.context:
            stop = StopReason.CONTEXT_LIMIT
        elif len(tokens) >= self.max_new_tokens:
            stop = StopReason.MALFORMED
        else:
            return  # its last token can end an action, but has not
        episode = self._batch.close_question(slot)
        del self._questions[episode]
        refused = stop is not None
        self._replies[episode] = (
            self.renderer.refuse(tokens, logps, stop) if refused else Reply(action, tokens, logps)
        )

    def has_ended(self, tokens: Sequence[int]) -> bool:
        """Return whether sampled `tokens` end an action: by the format's end mark, or by an end token of the model."""
        text = self.renderer.tokenizer.decode(tokens, skip_special_tokens=False)
        return self.renderer.format.end in text or tokens[-1] in self._end_ids

    def read_action(self, history: History, tokens: Sequence[int]) -> str:
        """Return the action that `tokens` spell; empty if it is blank, or if the format can't show it in later turns."""
        action = self.renderer.decode_action(tokens)
        return action if action.strip() and can_show(self.renderer.format, history, action) else ""

    @torch.inference_mode()
    def _check_cache(self) -> None:
        """Read a short text in two slots, in two parts each, and compare the logits with reading it at once.

        Raises:
            PolicyError: the model keeps more than keys and values, or other ones than the cache holds.
        """
        kind, advice = type(self.model).__name__, "serve it with vLLM (policy: vllm:… or openai:…)"
        text = np.arange(1, 9, dtype=np.int64) * 7919 % self.model.config.get_text_config().vocab_size
        cache, none = KVCache(2, self.context), np.zeros(0, np.int64)
        try:
            first = PackedBatch(cache, none, none, [Span(0, 0, 5), Span(1, 0, 3)], self._device)
            self._logits(text[first.position], first, np.array([4, 7]))
            second = PackedBatch(cache, np.array([1]), np.array([3]), [Span(0, 5, 8)], self._device)
            cached = self._logits(text[second.position], second, np.array([0, 3])).float()
            whole = self.model(input_ids=torch.from_numpy(text[None]).to(self._device)).logits[0].float()
        except (TypeError, ValueError) as error:
            raise PolicyError(
                f"{self.name}: {kind} does not take what the slot cache passes ({error}); {advice}"
            ) from error
        expected = whole[[3, 7]]
        scale = max(expected.norm(), _SMALL_LOGIT * expected.numel() ** 0.5)
        difference = ((cached - expected).norm() / scale).item()
        tolerance = 1e-3 if self.model.dtype == torch.float32 else 0.1
        if cache.is_empty or not difference < tolerance:
            raise PolicyError(
                f"{self.name}: {kind} read in two parts gives logits {difference:.1%} apart from reading at once "
                f"(expected below {tolerance:.1%}), so it keeps more than keys and values; {advice}"
            )


class _Question(NamedTuple):
    prompt: list[int]
    sampling: Sampling
    history: History
    choices: Sequence[
        tuple[int, ...]
    ]  # the ids of the only actions that may be written; any if there are none
