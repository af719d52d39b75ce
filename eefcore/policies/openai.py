"""π behind any OpenAI-compatible endpoint: a server of vLLM, SGLang or llama.cpp, or a hosted model.

`completions` sends the dialogue as the format writes it, and cuts at the format's end mark; `chat` sends
the same pieces as messages, what the policy wrote as the assistant's. Questions are sent as they are
asked, `concurrency` at a time, and are answered as they come back.

A request that fails for a passing reason (no connection, time-out, 408, 409, 429, 5xx, an answer that is
not what the interface promises) is repeated with back-off; when that is of no use the episode ends as a
model failure, which is counted and never a reward of 0. A refusal that would be repeated for ever (401,
404, a malformed request) is an error.

With the model's tokenizer here, completions take ids and give back the ids sampled and their
log-likelihoods (vLLM does, and tells those at temperature 1; most others refuse). Without it text goes
out and text comes back, `Reply.tokens` stays empty, and the action is encoded again when it is trained on.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import httpx
import tenacity

from eefcore.errors import FormatError, PolicyError
from eefcore.policies.hf_engine.rng import turn_seed
from eefcore.protocols import Reply, Sampling, Usage
from eefcore.rendering.formats import Format, can_show
from eefcore.rendering.renderer import Renderer
from eefcore.types import History, StopReason

_PASSING = {408, 409, 425, 429}
_FULL = ("context_length_exceeded", "maximum context length", "context length", "too long")


class OpenAIPolicy:
    """A model of an endpoint; `base_url` ends before `/completions`, usually in `/v1`.

    The key is read from the environment variable `key_variable` when a request is sent, and is kept
    nowhere.

    Raises:
        PolicyError: `chat` with a tokenizer; the endpoint refuses (from `answers`).
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        format: Format,
        *,
        chat: bool = False,
        tokenizer: Any = None,
        concurrency: int = 16,
        max_new_tokens: int = 96,
        timeout: float = 120.0,
        attempts: int = 5,
        longest_pause: float = 30.0,
        key_variable: str = "OPENAI_API_KEY",
    ) -> None:
        if chat and tokenizer is not None:
            raise PolicyError(
                f"{model}: a chat endpoint takes messages, not ids; use completions, or no tokenizer"
            )
        self.name = model
        self.tokens_read = 0
        """Prompt tokens, each turn's anew, as the endpoint counts them."""
        self.tokens_written = 0
        """Completion tokens, as the endpoint counts them."""
        self.failures = 0
        """Questions given up on, after all attempts."""
        self._url = base_url.rstrip("/") + ("/chat/completions" if chat else "/completions")
        self._model, self._format, self._chat = model, format, chat
        self._renderer = None if tokenizer is None else Renderer(tokenizer, format)
        self._max_new_tokens, self._key_variable = max_new_tokens, key_variable
        self._client = httpx.Client(timeout=timeout, limits=httpx.Limits(max_connections=concurrency))
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="openai-policy")
        self._asked: dict[Hashable, Future[_Answer]] = {}
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            stop=tenacity.stop_after_attempt(attempts),
            wait=tenacity.wait_random_exponential(max=longest_pause),
            reraise=True,
        )

    def length(self, history: History) -> int:
        """Return the tokens of h_t by the model's tokenizer; 0 without one, when only `tokens_read` counts."""
        return 0 if self._renderer is None else self._renderer.length(history)

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Send the question, or queue it behind `concurrency` others."""
        if episode in self._asked:
            raise PolicyError(f"episode {episode!r} was asked twice; take its answer first, or close it")
        try:
            request = self._request(history, sampling)
        except FormatError:
            self._asked[episode] = Future()
            self._asked[episode].set_result(_Answer(Reply("", stop=StopReason.MALFORMED), Usage()))
        else:
            self._asked[episode] = self._pool.submit(self._shown, history, request)

    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """Return the answers that have arrived, in the order in which they were asked."""
        if not self._asked:
            return []
        wait(self._asked.values(), return_when=FIRST_COMPLETED)
        came = {episode: future.result() for episode, future in self._asked.items() if future.done()}
        for episode, (reply, usage) in came.items():
            del self._asked[episode]
            self.tokens_read += usage.tokens_read
            self.tokens_written += usage.tokens_written
            self.failures += reply.stop is StopReason.MODEL_FAILURE
        return [(episode, self._with_usage(answer)) for episode, answer in came.items()]

    def close(self, episode: Hashable) -> None:
        """Forget the episode's question; a request under way ends unheard."""
        if (future := self._asked.pop(episode, None)) is not None:
            future.cancel()

    def _with_usage(self, answer: _Answer) -> Reply:
        """Return a reply with its usage; where ids come back they count the tokens, and usage would count them twice."""
        usage = answer.usage if self._renderer is None else Usage(money=answer.usage.money)
        return answer.reply._replace(usage=usage)

    def _request(self, history: History, sampling: Sampling) -> dict[str, Any]:
        pieces, end = self._format.pieces(history), self._format.end
        request: dict[str, Any] = {
            "model": self._model,
            "max_tokens": self._max_new_tokens,
            "temperature": sampling.temperature,
            # One seed would draw the same numbers at every turn.
            "seed": turn_seed(sampling.seed, len(history)),
            "stop": [end],
        }
        if self._chat:
            request["messages"] = [
                {"role": "user" if action is None else "assistant", "content": text}
                for text, action in pieces
            ]
        elif self._renderer is None:
            request["prompt"] = "".join(text if action is None else text + end for text, action in pieces)
        else:
            request["prompt"] = self._renderer.encode(history).tokens
            # The end mark is among the tokens that were sampled, so it must be among those that come back.
            request |= {"return_token_ids": True, "include_stop_str_in_output": True, "logprobs": 0}
        return request

    def _shown(self, history: History, request: dict[str, Any]) -> _Answer:
        """Return the endpoint's reply, or a malformed one where the format can't show it again in the next turn."""
        answer = self._answer(request)
        reply = answer.reply.clean()
        if reply.stop is None and not can_show(self._format, history, reply.action):
            reply = reply._replace(stop=StopReason.MALFORMED)
        return answer._replace(reply=reply if reply.stop is None else reply._replace(action=""))

    def _answer(self, request: dict[str, Any]) -> _Answer:
        """Return what the endpoint replies, from a thread of its own."""
        try:
            return self._retrying(self._once, request)
        except _Passing:
            return _Answer(Reply("", stop=StopReason.MODEL_FAILURE), Usage())

    def _once(self, request: dict[str, Any]) -> _Answer:
        key = os.environ.get(self._key_variable)
        try:
            response = self._client.post(
                self._url, json=request, headers={"Authorization": f"Bearer {key}"} if key else {}
            )
        except httpx.TransportError as error:
            raise _Passing(str(error)) from error
        if response.status_code in _PASSING or response.status_code >= 500:
            raise _Passing(f"{response.status_code}")
        if response.status_code == 400 and any(words in response.text for words in _FULL):
            return _Answer(Reply("", stop=StopReason.CONTEXT_LIMIT), Usage())
        if response.status_code != 200:
            raise PolicyError(
                f"{self._url} answered {response.status_code} for the model {self._model!r}: "
                f"{response.text[:300]}; check the address, the model's name and the key in {self._key_variable}"
            )
        try:
            return self._read(response.json())
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise _Passing(f"not a completion: {response.text[:200]!r}") from error

    def _read(self, said: dict[str, Any]) -> _Answer:
        """Return the action in a response, or why there is none.

        Raises:
            ValueError, KeyError, TypeError, IndexError: the response is not what it should be.
        """
        choice, end = said["choices"][0], self._format.end
        text = choice["message"]["content"] if self._chat else choice["text"]
        counted = said.get("usage") or {}
        usage = Usage(int(counted.get("prompt_tokens", 0)), int(counted.get("completion_tokens", 0)))
        action, mark, _ = (text or "").partition(end)
        action = (action + end).partition(end)[0]  # of an end mark of two newlines it may hold the first
        complete = bool(mark) or choice["finish_reason"] == "stop"
        tokens: tuple[int, ...] = ()
        logps: tuple[float, ...] = ()
        if self._renderer is not None:
            tokens = tuple(int(i) for i in choice["token_ids"])
            logps = tuple(float(p) for p in choice["logprobs"]["token_logprobs"])
            if not len(tokens) == len(logps) == usage.tokens_written:
                raise ValueError(f"{len(tokens)} ids, {len(logps)} logps for {usage.tokens_written} tokens")
            action = self._renderer.decode_action(tokens)
        stop = None if complete and action.strip() else StopReason.MALFORMED
        return _Answer(Reply(action if stop is None else "", tokens, logps, stop), usage)


class _Answer(NamedTuple):
    reply: Reply
    usage: Usage


class _Passing(Exception):
    """A failure that may be gone at the next attempt."""
