"""Play a model behind the OpenAI interface: each question is sent to an endpoint, `concurrency` at a time.

With a tokenizer and a server that takes ids, ids go out and the ids sampled come back with their log-likelihoods. Without, text
goes out and text comes back, `Reply.tokens` stays empty, and the action is encoded again when it is trained on.

A question that gets no answer ends its episode: as a context limit, or as a model failure, which is counted with its reason and
never a reward of 0.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Collection, Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from eefcore.errors import FormatError, PolicyError
from eefcore.policies.openai.answers import AnswerCache
from eefcore.policies.openai.client import Client, NoAnswer
from eefcore.policies.openai.interface import (
    TOKEN_INTERFACES,
    Answer,
    Ending,
    MessageInterface,
    TextInterface,
    VLLMTokens,
)
from eefcore.policies.openai.lease import Lease
from eefcore.policies.openai.options import Server
from eefcore.policies.openai.prices import Account, Price
from eefcore.protocols import Reply, Sampling, Usage
from eefcore.rendering.formats import Format, can_show
from eefcore.rendering.renderer import Renderer
from eefcore.types import History, StopReason


class OpenAIPolicy:
    """A policy that asks a model at an endpoint; `base_url` usually ends in `/v1`.

    Args:
        chat: whether the dialogue is sent as messages; else as text, or as ids.
        tokenizer: the model's own: ids go out and come back.
        server: the kind of server that takes ids.
        context, end_ids: of vLLM's server, the limits of `VLLMTokens`.
        lease: the run's own server, which may have ended when a question gets no answer.
        key_variable: the environment variable that holds the key.
        account: pays for the answers; None if they have no price.
        cache: keeps the answers; None asks each time.

    Raises:
        PolicyError: ids are asked of a chat interface; the endpoint refuses, or the run's server has ended (from `answers`).
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        format: Format,
        *,
        chat: bool = False,
        tokenizer: Any = None,
        server: Server = "vllm",
        context: int | None = None,
        end_ids: Collection[int] = (),
        lease: Lease | None = None,
        concurrency: int = 16,
        max_new_tokens: int = 96,
        timeout: float = 120.0,
        attempts: int = 5,
        longest_pause: float = 30.0,
        key_variable: str = "OPENAI_API_KEY",
        account: Account | None = None,
        cache: AnswerCache | None = None,
    ) -> None:
        self.name, self.context, self._lease = model, context, lease
        self.tokens_read = 0
        """Prompt tokens, each turn's anew, as the endpoint counts them."""
        self.tokens_written = 0
        """Tokens of answers, as the endpoint counts them."""
        self.failures = 0
        """Questions that ended as a model failure."""
        self.thoughts = 0
        """Answers from which a block of thought was dropped."""
        self.money = 0.0
        """Dollars that the answers cost when they were asked for."""
        self.renderer = None if tokenizer is None else Renderer(tokenizer, format)
        interface: TextInterface
        if self.renderer is not None:
            if chat:
                raise PolicyError(
                    f"{model}: a chat interface takes messages, not ids; use another format, or no tokenizer"
                )
            limits: dict[str, Any] = {"context": context, "end_ids": end_ids} if server == "vllm" else {}
            interface = TOKEN_INTERFACES[server](base_url, model, self.renderer, max_new_tokens, **limits)
        else:
            kind = MessageInterface if chat else TextInterface
            interface = kind(base_url, model, format, max_new_tokens)
        self.chooses = isinstance(interface, VLLMTokens)
        self.client = Client(
            interface,
            concurrency=concurrency,
            timeout=timeout,
            attempts=attempts,
            longest_pause=longest_pause,
            key_variable=key_variable,
            account=account,
            cache=cache,
        )
        self._interface = interface
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="openai-policy")
        self._counting = threading.Lock()
        self._questions: dict[Hashable, Future[Reply]] = {}

    @property
    def price(self) -> Price | None:
        """Return the price of a token read and written; None if it is not known."""
        account = self.client.account
        return None if account is None else account.price

    def length(self, history: History) -> int:
        """Return the tokens of h_t by the model's tokenizer; 0 without one, where `Reply.usage` counts them."""
        return 0 if self.renderer is None else self.renderer.length(history)

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Send the question, or queue it behind `concurrency` others."""
        if episode in self._questions:
            raise PolicyError(f"episode {episode!r} was asked twice; take its answer first, or close it")
        try:
            request = self._request(history, sampling)
        except FormatError:
            self._questions[episode] = _answered(StopReason.MALFORMED)
            return
        if request.get("max_tokens") == 0:
            self._questions[episode] = _answered(StopReason.CONTEXT_LIMIT)
        else:
            self._questions[episode] = self._pool.submit(self._reply, history, request)

    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """Return the answers that have arrived, in the order in which their questions were asked."""
        if not self._questions:
            return []
        try:
            wait(self._questions.values(), return_when=FIRST_COMPLETED)
            replies = {e: future.result() for e, future in self._questions.items() if future.done()}
        except (
            BaseException
        ):  # a refusal, or an interrupted cell: what waits in the queue is not sent any more
            for episode in list(self._questions):
                self.close(episode)
            raise
        for episode in replies:
            del self._questions[episode]
        failures = sum(reply.stop is StopReason.MODEL_FAILURE for reply in replies.values())
        self.failures += failures
        if failures and self._lease:
            self._lease.check()
        while self.client.notices:
            warnings.warn(self.client.notices.pop(0), stacklevel=2)
        return list(replies.items())

    def close(self, episode: Hashable) -> None:
        """Forget the episode's question; the answer to a request under way is dropped."""
        if (future := self._questions.pop(episode, None)) is not None:
            future.cancel()

    def _request(self, history: History, sampling: Sampling) -> dict[str, Any]:
        return self._interface.request(history, sampling)

    def _reply(self, history: History, request: dict[str, Any]) -> Reply:
        """Return the endpoint's answer as an action, or why there is none; called in a thread of its own."""
        try:
            answer = self.client.answer(request)
        except NoAnswer as error:
            return Reply("", stop=error.stop, reason=error.reason)
        usage = self._count(answer, request)
        if answer.ending is Ending.FILTERED:
            return Reply("", stop=StopReason.MODEL_FAILURE, reason="the host's content filter", usage=usage)
        reply = Reply(answer.text, answer.tokens, answer.logps, usage=usage).clean()
        if answer.ending is Ending.CUT or (
            reply.stop is None and not can_show(self._interface.format, history, reply.action)
        ):
            full = self.context is not None and len(request["prompt"]) + len(answer.tokens) >= self.context
            cut = answer.ending is Ending.CUT
            reply = reply._replace(stop=StopReason.CONTEXT_LIMIT if cut and full else StopReason.MALFORMED)
        if reply.stop is None:
            return reply
        return reply._replace(action="", refused_answer=answer.whole or answer.text)

    def _count(self, answer: Answer, request: dict[str, Any]) -> Usage:
        """Count the tokens and dollars of an answer; tokens of ids are left out, as the ids themselves are counted."""
        money = 0.0
        if (account := self.client.account) is not None:
            money = account.price.of(*self.client.paid_tokens(request, answer))
        with self._counting:
            self.tokens_read += answer.tokens_read
            self.tokens_written += answer.tokens_written
            self.thoughts += answer.thought
            self.money += money
        if self.renderer is not None:
            return Usage(money=money)
        return Usage(answer.tokens_read, answer.tokens_written, money)


def _answered(stop: StopReason) -> Future[Reply]:
    """Return the answer to a question that is not sent."""
    future: Future[Reply] = Future()
    future.set_result(Reply("", stop=stop))
    return future
