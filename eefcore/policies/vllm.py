"""Play a policy with vLLM inside this process: for GPUs, and models that are too slow in transformers.

Prompts go in as token ids; sampled ids and their log-likelihoods come back. Requests are added one by one and answered as
each is done (continuous batching), so an episode goes on while others are still written. What was read before is found in
the prefix cache.

Everything that changes a likelihood is said to the engine (`eefcore.policies.vllm_arguments`). vLLM finds cached prefixes by an
adapter's name, so every policy takes a name and a number of its own, never used twice in a process.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Collection, Hashable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from eefcore.errors import FormatError, PolicyError
from eefcore.policies.hf_engine.rng import turn_seed
from eefcore.policies.hf_engine.sampling import end_ids
from eefcore.policies.openai.interface import written_choices
from eefcore.policies.settings import VLLMOptions
from eefcore.policies.vllm_arguments import OWNER, EngineModel, room_for
from eefcore.processes import die_with
from eefcore.protocols import Reply, Sampling
from eefcore.rendering.formats import can_show
from eefcore.rendering.renderer import Renderer, make_renderer
from eefcore.training.canary import check_canary, read_canary
from eefcore.training.model_files import ModelFiles, find_files
from eefcore.types import History, StopReason

_NUMBERS = count(1)


class Engine:
    """A `vllm.LLM` of this process that several policies may ask, a policy and its critic for example."""

    def __init__(self, llm: Any) -> None:
        self.llm = llm
        self._finished: dict[str, Any] = {}

    @property
    def context(self) -> int:
        """Return the longest prompt with its answer, in tokens."""
        return self.llm.model_config.max_model_len

    @property
    def dtype(self) -> str:
        """Return the dtype of the weights, by torch's name."""
        return str(self.llm.model_config.dtype).removeprefix("torch.")

    def add(self, prompt: Sequence[int], params: Any, lora: Any) -> str:
        """Add a request; return its name."""
        name = str(next(_NUMBERS))  # vLLM returns a name of its own, and answers under this one
        self.llm.llm_engine.add_request(name, {"prompt_token_ids": list(prompt)}, params, lora_request=lora)
        return name

    def wait(self, requests: Collection[str]) -> dict[str, Any]:
        """Work until at least one of `requests` is done, and return the output of each that is."""
        while not (done := self._finished.keys() & requests):
            for output in self.llm.llm_engine.step():
                if output.finished:
                    self._finished[output.request_id] = output
        return {name: self._finished.pop(name) for name in done}

    def close(self) -> None:
        """Stop the engine's processes; without it they end with this process."""
        self.llm.llm_engine.engine_core.shutdown()

    def abort(self, request: str) -> None:
        """Drop a request that nobody waits for any more."""
        if self._finished.pop(request, None) is None:
            self.llm.llm_engine.abort_request([request])


class VLLMPolicy:
    """The model that an `Engine` serves, with a LoRA adapter or without."""

    chooses = True

    def __init__(
        self,
        engine: Engine,
        renderer: Renderer,
        *,
        adapter: Path | None = None,
        max_new_tokens: int = 96,
        name: str = "vllm",
        end_ids: Collection[int] = (),
    ) -> None:
        self.name, self.tokens_read, self.tokens_written = name, 0, 0
        self.engine, self.renderer, self.context = engine, renderer, engine.context
        self._max_new_tokens, self._lora = max_new_tokens, _lora_request(adapter)
        self._end_ids = end_ids
        self._questions: dict[Hashable, _Question] = {}
        self._replies: dict[Hashable, Reply] = {}

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        adapter: str | Path | None = None,
        engine: VLLMOptions = VLLMOptions(),  # noqa: B008  # frozen
        format: str = "agentlite",
        template_args: str | None = None,
        slots: int = 64,
        max_new_tokens: int = 96,
        context: int | None = None,
    ) -> VLLMPolicy:
        """Load the policy of a model folder, an adapter's folder or a hub name; `slots` episodes are decoded at a time.

        Raises:
            PolicyError: vLLM can't serve the model, or answers with other weights than were saved.
        """
        from eefcore.training.models import load_generation_config  # loads torch

        files = find_files(path, adapter)
        running = start_engine(files, engine, slots=slots, context=context)
        renderer = make_renderer(running.llm.get_tokenizer(), format, template_args)
        name = Path(adapter or path).name
        ends = end_ids(load_generation_config(files.base.folder), renderer)
        options = {"max_new_tokens": max_new_tokens, "name": name, "end_ids": ends}
        policy = cls(running, renderer, adapter=files.adapter, **options)
        if (canary := read_canary(files.adapter or files.base.folder)) is not None:
            check_canary(canary, policy.score(canary.tokens), dtype=running.dtype, model=name)
        return policy

    def length(self, history: History) -> int:
        """Return the number of tokens of h_t as this policy reads it, including what it wrote."""
        return self.renderer.length(history)

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Send the question to the engine; a history that can't be shown is answered as malformed."""
        if episode in self._questions or episode in self._replies:
            raise PolicyError(f"episode {episode!r} was asked twice; take its answer first, or close it")
        try:
            prompt = self.renderer.encode(history).tokens
        except FormatError:
            self._replies[episode] = Reply("", stop=StopReason.MALFORMED)
            return
        if len(prompt) >= self.context:
            self._replies[episode] = Reply("", stop=StopReason.CONTEXT_LIMIT)
            return
        limit = min(self._max_new_tokens, self.context - len(prompt))
        params = _sampling_params(sampling, len(history), limit, self.renderer, self._end_ids)
        request = self.engine.add(prompt, params, self._lora)
        self._questions[episode] = _Question(request, len(prompt), history)

    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """Return the answers that are complete; the others are continued at the next call."""
        if self._questions and not self._replies:
            episodes = {question.request: episode for episode, question in self._questions.items()}
            for request, output in self.engine.wait(episodes.keys()).items():
                question = self._questions.pop(episodes[request])
                self.tokens_read += question.prompt - (output.num_cached_tokens or 0)
                self._replies[episodes[request]] = self._reply(output.outputs[0], question)
        replies, self._replies = self._replies, {}
        return list(replies.items())

    def score(self, tokens: Sequence[int]) -> list[float]:
        """Return log π of each of `tokens` after the first."""
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
        request = self.engine.add(tokens, params, self._lora)
        scored = self.engine.wait([request])[request].prompt_logprobs[1:]
        return [at[token].logprob for at, token in zip(scored, tokens[1:], strict=True)]

    def close(self, episode: Hashable) -> None:
        """Drop the episode's question, if one is open; vLLM forgets what it cached by itself."""
        self._replies.pop(episode, None)
        if (question := self._questions.pop(episode, None)) is not None:
            self.engine.abort(question.request)

    def _reply(self, output: Any, question: _Question) -> Reply:
        tokens = tuple(output.token_ids)
        self.tokens_written += len(tokens)
        logps = tuple(output.logprobs.logprobs[start] for start in output.logprobs.start_indices)
        if output.finish_reason != "stop":
            full = question.prompt + len(tokens) >= self.context
            return self.renderer.refuse(
                tokens, logps, StopReason.CONTEXT_LIMIT if full else StopReason.MALFORMED
            )
        action = self.renderer.decode_action(tokens)
        if not action.strip() or not can_show(self.renderer.format, question.history, action):
            return self.renderer.refuse(tokens, logps, StopReason.MALFORMED)
        return Reply(action, tokens, logps)


class _Question(NamedTuple):
    request: str
    prompt: int  # tokens
    history: History


def end_with_parent() -> None:
    """Tie a process of vLLM's engine to the life of the process that started it (vLLM calls it as a plugin, in each).

    vLLM's engine process would outlive a killed notebook, with its memory. It also gets a process group of its own, so
    that an interrupted cell interrupts the notebook and not the engine.
    """
    if os.environ.get(OWNER) and multiprocessing.parent_process() is not None:
        os.setpgid(0, 0)
        die_with(os.getppid())


def start_engine(
    files: ModelFiles, options: VLLMOptions, *, slots: int = 64, context: int | None = None
) -> Engine:
    """Start vLLM on a base model, ready for the adapter in `files` if there is one.

    Raises:
        PolicyError: the model's files can't be read, or vLLM can't serve them.
    """
    from vllm import LLM

    model = EngineModel.of(files, options, tokenizer=files.tokenizer)
    room = room_for(files, options, slots=slots, context=context)
    os.environ[OWNER] = str(os.getpid())
    try:
        return Engine(LLM(**model.arguments(room, options.memory)))
    except (OSError, ValueError, RuntimeError) as error:
        raise PolicyError(f"{files.base.name}: vLLM can't serve this model: {error}") from error


def _sampling_params(
    sampling: Sampling, turn: int, limit: int, renderer: Renderer, end_ids: Collection[int]
) -> Any:
    """Return how one action is drawn: from the softmax at the sampling's temperature, whole, or one of its choices."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    # Its likelihoods are those of the choices alone, which only a critic's answers have.
    choices = StructuredOutputsParams(choice=written_choices(sampling.choices, renderer))
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=1.0,
        top_k=0,
        min_p=0.0,
        presence_penalty=0.0,
        frequency_penalty=0.0,
        repetition_penalty=1.0,
        seed=turn_seed(sampling.seed, turn),
        max_tokens=limit,
        stop=[renderer.format.end],
        stop_token_ids=sorted(end_ids),
        include_stop_str_in_output=True,
        skip_special_tokens=False,
        logprobs=0,
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
        structured_outputs=choices if sampling.choices else None,
    )


def _lora_request(adapter: Path | None) -> Any:
    """Return a request for `adapter` under a name and a number that no other policy has had."""
    if adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    number = next(_NUMBERS)
    return LoRARequest(f"{adapter.name}-{number}", number, str(adapter))
