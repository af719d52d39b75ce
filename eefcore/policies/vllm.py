"""π inside this process with vLLM: for GPUs, and models whose rollouts transformers plays too slowly.

Tokens in, tokens out: prompts go in as ids, sampled ids and their log-likelihoods come back. All open
questions are played as one call, in which vLLM batches continuously and finds what it has read before
(its prefix cache), so an episode's turns are not read anew.

A weight swap must not meet another version's cache (vLLM finds prefixes by adapter): every policy takes
an adapter number of its own, never used twice in a process.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from eefcore.errors import FormatError, PolicyError
from eefcore.policies.hf_engine.rng import turn_seed
from eefcore.protocols import Reply, Sampling
from eefcore.rendering.formats import can_show, load_format
from eefcore.rendering.renderer import Renderer
from eefcore.training.model_files import ADAPTER_WEIGHTS, check_weights, is_adapter
from eefcore.training.model_sources import find_files
from eefcore.types import History, StopReason

NO_VLLM = 'vLLM is not installed here: pip install "eefcore[vllm]", or use hf:…'

_ADAPTERS = count(1)


class VLLMPolicy:
    """The model that a `vllm.LLM` serves, with a LoRA adapter or without.

    The engine must tell raw log-likelihoods (`logprobs_mode="raw_logprobs"`, its default), which are those
    at temperature 1; `load` says so.
    """

    def __init__(
        self,
        llm: Any,
        renderer: Renderer,
        *,
        adapter: str | Path | None = None,
        max_new_tokens: int = 96,
        name: str = "vllm",
    ) -> None:
        self.name, self.tokens_read, self.tokens_written = name, 0, 0
        self._llm, self.renderer, self._max_new_tokens = llm, renderer, max_new_tokens
        self.context: int = llm.model_config.max_model_len
        self._lora = _lora(adapter)
        self._asked: dict[Hashable, tuple[list[int] | None, History, Sampling]] = {}

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        adapter: str | Path | None = None,
        format: str = "agentlite",
        slots: int = 64,
        max_new_tokens: int = 96,
        context: int | None = None,
        dtype: str = "auto",
    ) -> VLLMPolicy:
        """Load the policy of a model folder, an adapter's folder or a hub name; `slots` episodes are decoded at a time.

        vLLM reads `auto` as the dtype the model was saved in, but for float32, which it halves.

        Raises:
            PolicyError: vLLM is not installed, or can't serve the model.
        """
        try:
            from vllm import LLM
        except ImportError as error:
            raise PolicyError(NO_VLLM) from error
        name = Path(adapter or path).name
        files = find_files(path, adapter)
        adapter = files.adapter
        if is_adapter(files.base.folder):
            raise PolicyError(
                f"{path}: vLLM serves an adapter on a whole model, and {files.base.name} is itself an adapter; "
                "save it merged (save_model with merge=True), or use hf:…"
            )
        check_weights(files.base.folder)
        if adapter is not None:
            check_weights(adapter, ADAPTER_WEIGHTS)
        try:
            llm = LLM(
                str(files.base.folder),
                tokenizer=str(files.tokenizer),
                trust_remote_code=False,
                load_format="safetensors",
                max_num_seqs=slots,
                max_model_len=context,
                dtype=dtype,
                enable_lora=adapter is not None,
                enable_prefix_caching=True,
                logprobs_mode="raw_logprobs",
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise PolicyError(f"vLLM can't serve {path}: {error}") from error
        tokenizer = llm.get_tokenizer()
        renderer = Renderer(tokenizer, load_format(format, tokenizer))
        return cls(llm, renderer, adapter=adapter, max_new_tokens=max_new_tokens, name=name)

    def length(self, history: History) -> int:
        """Return the tokens of h_t as this policy reads it, its own actions among them."""
        return self.renderer.length(history)

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Queue the question; a history that can't be shown is answered as malformed."""
        if episode in self._asked:
            raise PolicyError(f"episode {episode!r} was asked twice; take its answer first, or close it")
        try:
            prompt = self.renderer.encode(history).tokens
        except FormatError:
            prompt = None
        self._asked[episode] = prompt, history, sampling

    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """Return the answer to every open question, in the order in which they were asked."""
        asked, self._asked = self._asked, {}
        fits = {e: (p, h, s) for e, (p, h, s) in asked.items() if p is not None and len(p) < self.context}
        replies = {
            e: Reply("", stop=StopReason.MALFORMED if prompt is None else StopReason.CONTEXT_LIMIT)
            for e, (prompt, _, _) in asked.items()
            if e not in fits
        }
        if fits:
            outputs = self._llm.generate(
                [{"prompt_token_ids": prompt} for prompt, _, _ in fits.values()],
                [self._params(len(prompt), history, sampling) for prompt, history, sampling in fits.values()],
                lora_request=self._lora,
                use_tqdm=False,
            )
            for (episode, (prompt, history, _)), output in zip(fits.items(), outputs, strict=True):
                self.tokens_read += len(prompt) - (output.num_cached_tokens or 0)
                replies[episode] = self._reply(output.outputs[0], len(prompt), history)
        return [(episode, replies[episode]) for episode in asked]

    def close(self, episode: Hashable) -> None:
        """Drop the episode's question, if one is open; vLLM forgets what it cached by itself."""
        self._asked.pop(episode, None)

    def _params(self, prompt: int, history: History, sampling: Sampling) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            temperature=sampling.temperature,
            seed=turn_seed(sampling.seed, len(history)),
            max_tokens=min(self._max_new_tokens, self.context - prompt),
            stop=[self.renderer.format.end],
            include_stop_str_in_output=True,
            skip_special_tokens=False,
            logprobs=0,
        )

    def _reply(self, output: Any, prompt: int, history: History) -> Reply:
        tokens = tuple(output.token_ids)
        self.tokens_written += len(tokens)
        logps = tuple(at[token].logprob for at, token in zip(output.logprobs, tokens, strict=True))
        if output.finish_reason != "stop":
            full = prompt + len(tokens) >= self.context
            return Reply("", tokens, logps, StopReason.CONTEXT_LIMIT if full else StopReason.MALFORMED)
        action = self.renderer.decode_action(tokens)
        if not action.strip() or not can_show(self.renderer.format, history, action):
            return Reply("", tokens, logps, StopReason.MALFORMED)
        return Reply(action, tokens, logps)


def _lora(adapter: str | Path | None) -> Any:
    """Return a request for `adapter` under a number that no other policy has had."""
    if adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    number = next(_ADAPTERS)
    return LoRARequest(f"{Path(adapter).name}-{number}", number, str(adapter))
