"""Write requests for each kind of server, and read its answers.

    TextInterface      /completions: the dialogue as the format writes it
    MessageInterface   /chat/completions: the same pieces as messages, what the policy wrote as the assistant's
    VLLMTokens         /completions of vLLM with token ids, and the ids and log-likelihoods that it sampled
    SGLangTokens       /generate of SGLang, likewise
    LlamaTokens        /completion of llama.cpp, likewise
    QuestionInterface  /chat/completions: one question of text and pictures, its answer taken as it is

All sampling fields are sent, since a server takes what a request leaves out from the model's `generation_config.json`: actions
are drawn from the whole softmax at the sampling's temperature.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from eefcore.policies.hf_engine.rng import turn_seed
from eefcore.policies.openai.options import Server
from eefcore.protocols import Sampling
from eefcore.rendering.formats import Format, Messages
from eefcore.rendering.renderer import Renderer
from eefcore.types import History

_CUT = {"length", "max_tokens", "max_output_tokens", "model_length", "limit"}
_FILTERED = {"content_filter", "safety", "refusal", "guardrail_intervened"}
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)|\A.*</think>", re.DOTALL)
"""A block of thought: whole, without its end where the answer was cut, or without its start where the prompt opened it."""

PICTURE_TOKENS = 30_000
"""The most tokens that a screenshot is billed as: 25,501 for 1024 × 768 points by gpt-4o-mini, 765 by gpt-4o."""

OPTIONAL_FIELDS = ("top_k", "min_p", "repetition_penalty", "top_p", "seed", "stop", "temperature")
"""Fields that an API may refuse: a request goes out again without them."""


class Ending(Enum):
    """How an answer ended."""

    WHOLE = "whole"
    CUT = "cut"  # at the limit of tokens
    FILTERED = "filtered"  # by a filter of the host


class Answer(NamedTuple):
    """An answer of a model: the action's text, how it ended, and its tokens by the server's own count.

    Of a server with ids, `tokens` are those sampled and `logps` the log π of each at temperature 1, or empty.
    """

    text: str
    ending: Ending
    tokens_read: int
    tokens_written: int
    tokens: tuple[int, ...] = ()
    logps: tuple[float, ...] = ()
    thought: bool = False  # whether a block of thought was dropped
    whole: str = ""  # the answer with its thoughts; empty if there is nothing but `text`


class Interface:
    """How one kind of server is asked; `base_url` ends before `path`, usually in `/v1`."""

    path: str
    optional_fields: Sequence[str] = OPTIONAL_FIELDS

    def __init__(self, base_url: str, model: str, max_new_tokens: int) -> None:
        self.url, self.model, self.max_new_tokens = base_url.rstrip("/") + self.path, model, max_new_tokens

    def sampling(self, temperature: float, seed: int) -> dict[str, Any]:
        """Return the fields of a request that say which model answers, and how it is drawn from."""
        return {
            "model": self.model,
            "max_tokens": self.max_new_tokens,
            "temperature": temperature,
            "top_p": 1.0,
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "seed": seed,
        }

    def most_read(self, request: Mapping[str, Any]) -> int:
        """Return the most tokens that a request can hold: a token has at least one byte."""
        return len(json.dumps(request, ensure_ascii=False).encode("utf-8", "replace"))

    def read(self, response: Any, request: Mapping[str, Any]) -> Answer:
        """Return the answer in a response.

        Raises:
            ValueError, KeyError, TypeError, IndexError, AttributeError: it is no answer of this interface.
        """
        raise NotImplementedError


class TextInterface(Interface):
    """The completions interface, text in and out."""

    path = "/completions"

    def __init__(self, base_url: str, model: str, format: Format, max_new_tokens: int) -> None:
        super().__init__(base_url, model, max_new_tokens)
        self.format = format

    def request(self, history: History, sampling: Sampling) -> dict[str, Any]:
        """Return the body of the request for a_t."""
        # One seed would draw the same numbers at every turn.
        seed = turn_seed(sampling.seed, len(history))
        return {**self.sampling(sampling.temperature, seed), **self.question(history)}

    def question(self, history: History) -> dict[str, Any]:
        """Return the fields of the request with h_t and the end mark of a_t."""
        end = self.format.end
        pieces = self.format.pieces(history)
        prompt = "".join(text if action is None else text + end for text, action in pieces)
        return {"prompt": prompt, "stop": [end]}

    def read(self, response: Any, request: Mapping[str, Any]) -> Answer:
        """Return the answer in a response, up to the end mark."""
        choice = response["choices"][0]
        return self.cut(self.text(choice), choice.get("finish_reason"), *_usage(response))

    def text(self, choice: Any) -> str:
        """Return what the model wrote."""
        return choice["text"] or ""

    def cut(self, text: str, reason: Any, read: int, written: int) -> Answer:
        """Return the answer, its text cut at the end mark."""
        end = self.format.end
        action, mark, _ = text.partition(end)
        if mark:
            return Answer(action, Ending.WHOLE, read, written)
        action = (action + end).partition(end)[0]  # of an end mark of two newlines it may hold the first
        return Answer(action, _ending(reason), read, written)


class MessageInterface(TextInterface):
    """The chat interface: a message ends by itself, and may begin with thoughts, blanks or the prompt's last words."""

    path = "/chat/completions"

    def question(self, history: History) -> dict[str, Any]:
        """Return the messages; an end mark of blanks is no stop, as it would cut off what follows thoughts."""
        format, end = self.format, self.format.end
        written = format if isinstance(format, Messages) else Messages(format.name, format, turns=True)
        return {"messages": written.messages(history)} | ({"stop": [end]} if end.strip() else {})

    def read(self, response: Any, request: Mapping[str, Any]) -> Answer:
        """Return the answer without its thoughts, and without the prompt's last words where the model repeats them."""
        choice = response["choices"][0]
        content = self.text(choice)
        text = _THOUGHT.sub("", content).lstrip()
        cue = request["messages"][-1]["content"].rpartition("\n")[2].strip()
        action = text.removeprefix(cue).lstrip() if cue.endswith((":", ">")) else text
        answer = self.cut(action, choice.get("finish_reason"), *_usage(response))
        message = choice["message"]
        reasoned = next((r for name in ("reasoning_content", "reasoning") if (r := message.get(name))), "")
        return answer._replace(
            thought=bool(reasoned) or content.lstrip() != text or _has_thoughts(message.get("content")),
            whole="\n".join(filter(None, (str(reasoned), content))),
        )

    def text(self, choice: Any) -> str:
        """Return the text of a message."""
        return _message_text(choice)


class QuestionInterface(Interface):
    """The chat interface for one question, of text and pictures, whose answer is taken as it is; it is greedy."""

    path = "/chat/completions"

    def request(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the body of the request for the answer to `messages`."""
        return {**self.sampling(0.0, 0), "messages": list(messages)}

    def most_read(self, request: Mapping[str, Any]) -> int:
        """Return the most tokens that a request can hold; hosts bill a picture by its size on the screen, not by its bytes."""
        parts = [part for message in request["messages"] for part in _parts(message["content"])]
        pictures = sum(part["type"] == "image_url" for part in parts)
        texts = [part["text"] for part in parts if part["type"] == "text"]
        return super().most_read({"messages": texts}) + pictures * PICTURE_TOKENS

    def read(self, response: Any, request: Mapping[str, Any]) -> Answer:
        """Return the answer without its thoughts."""
        choice = response["choices"][0]
        content = _message_text(choice)
        text = _THOUGHT.sub("", content).strip()
        return Answer(
            text, _ending(choice.get("finish_reason")), *_usage(response), thought=content.strip() != text
        )


class TokenInterface(TextInterface):
    """A server that takes token ids and gives back those that it sampled; any format can be used, as by `hf`."""

    optional_fields = ()

    def __init__(self, base_url: str, model: str, renderer: Renderer, max_new_tokens: int) -> None:
        super().__init__(base_url, model, renderer.format, max_new_tokens)
        self.renderer = renderer

    def answer(
        self, tokens: Sequence[Any], logps: Sequence[Any], reason: Any, read: int, written: int
    ) -> Answer:
        """Return the answer of these ids; log-likelihoods that are not one for each id are left out."""
        ids = tuple(int(i) for i in tokens)
        if written and len(ids) != written:
            raise ValueError(f"{len(ids)} ids of {written} tokens")
        kept = tuple(float(p) for p in logps) if len(logps) == len(ids) else ()
        return Answer(self.renderer.decode_action(ids), _ending(reason), read, written or len(ids), ids, kept)


class VLLMTokens(TokenInterface):
    """vLLM's completions of token ids; its log-likelihoods are those at temperature 1, of choices those of them alone.

    Args:
        context: the longest dialogue with its answer, in tokens; None is what the server can. Where it is full, a request
            asks for no token at all.
        end_ids: tokens that end an action, beside the format's end mark.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        renderer: Renderer,
        max_new_tokens: int,
        *,
        context: int | None = None,
        end_ids: Collection[int] = (),
    ) -> None:
        super().__init__(base_url, model, renderer, max_new_tokens)
        self.context, self._end_ids = context, end_ids

    def request(self, history: History, sampling: Sampling) -> dict[str, Any]:
        """Return the body of the request for a_t, or for one of the choices of `sampling`."""
        body = super().request(history, sampling)
        if self.context is not None:
            body["max_tokens"] = max(0, min(self.max_new_tokens, self.context - len(body["prompt"])))
        if self._end_ids:
            body["stop_token_ids"] = sorted(self._end_ids)
        if sampling.choices:
            body["structured_outputs"] = {"choice": written_choices(sampling.choices, self.renderer)}
        return body

    def question(self, history: History) -> dict[str, Any]:
        """Return the prompt's ids; the end mark is among the ids sampled, so it must be among those that come back."""
        return {
            "prompt": self.renderer.encode(history).tokens,
            "stop": [self.format.end],
            "include_stop_str_in_output": True,
            "skip_special_tokens": False,
            "return_token_ids": True,
            "logprobs": 0,
        }

    def read(self, response: Any, request: Mapping[str, Any]) -> Answer:
        """Return the answer in a response, which must hold one log-likelihood for each id."""
        choice = response["choices"][0]
        tokens, logps = choice["token_ids"], choice["logprobs"]["token_logprobs"]
        if len(tokens) != len(logps):
            raise ValueError(f"{len(tokens)} ids, {len(logps)} log-likelihoods")
        return self.answer(tokens, logps, choice["finish_reason"], *_usage(response))


class SGLangTokens(TokenInterface):
    """SGLang's own interface, beside `/v1`.

    Its log-likelihoods are those at the sampling's temperature, unless the server was started to give the original ones, which
    an answer does not say. So they are kept where the two are equal: at temperature 1, and where the answer is greedy.
    """

    def __init__(self, base_url: str, model: str, renderer: Renderer, max_new_tokens: int) -> None:
        super().__init__(base_url, model, renderer, max_new_tokens)
        self.url = base_url.rstrip("/").removesuffix("/v1") + "/generate"

    def request(self, history: History, sampling: Sampling) -> dict[str, Any]:
        """Return the body of the request for a_t."""
        return {
            "input_ids": self.renderer.encode(history).tokens,
            "sampling_params": {
                "max_new_tokens": self.max_new_tokens,
                "temperature": sampling.temperature,
                "top_p": 1.0,
                "top_k": -1,
                "min_p": 0.0,
                "repetition_penalty": 1.0,
                "sampling_seed": turn_seed(sampling.seed, len(history)),
                "stop": [self.format.end],
                "no_stop_trim": True,
                "skip_special_tokens": False,
            },
            "return_logprob": True,
        }

    def read(self, response: Any, request: Mapping[str, Any]) -> Answer:
        """Return the answer in a response."""
        meta = response["meta_info"]
        original = request["sampling_params"]["temperature"] in (0.0, 1.0)
        logps = [entry[0] for entry in meta["output_token_logprobs"]] if original else ()
        reason = meta["finish_reason"]["type"]
        if reason == "abort":
            raise ValueError(f"the server dropped the request: {meta['finish_reason'].get('message')}")
        counts = meta["prompt_tokens"], meta["completion_tokens"]
        return self.answer(response["output_ids"], logps, reason, *counts)


class LlamaTokens(TokenInterface):
    """llama.cpp's own interface, beside `/v1`.

    Its log-likelihoods are those at temperature 1. It leaves those of a stop word out, so that an action which ends in
    words, and not in the model's own end of a turn, has none.
    """

    def __init__(self, base_url: str, model: str, renderer: Renderer, max_new_tokens: int) -> None:
        super().__init__(base_url, model, renderer, max_new_tokens)
        self.url = base_url.rstrip("/").removesuffix("/v1") + "/completion"

    def request(self, history: History, sampling: Sampling) -> dict[str, Any]:
        """Return the body of the request for a_t."""
        return {
            "prompt": self.renderer.encode(history).tokens,
            "n_predict": self.max_new_tokens,
            "temperature": sampling.temperature,
            "samplers": ["temperature"],  # none of those that truncate
            "repeat_penalty": 1.0,
            "seed": turn_seed(sampling.seed, len(history)),
            "stop": [self.format.end],
            "cache_prompt": True,
            "return_tokens": True,
            "n_probs": 1,
            "post_sampling_probs": False,
        }

    def read(self, response: Any, request: Mapping[str, Any]) -> Answer:
        """Return the answer in a response."""
        logps = [entry["logprob"] for entry in response.get("completion_probabilities", ())]
        counts = response["tokens_evaluated"], response["tokens_predicted"]
        return self.answer(response["tokens"], logps, response["stop_type"], *counts)


def written_choices(choices: Sequence[str], renderer: Renderer) -> list[str]:
    """Return choices as vLLM is to write them: with the end mark, unless that is a token, which ends a text by itself."""
    mark = renderer.format.end
    return [text if mark.strip() in renderer.special_tokens.ids else text + mark for text in choices]


TOKEN_INTERFACES: dict[Server, type[TokenInterface]] = {
    "vllm": VLLMTokens,
    "sglang": SGLangTokens,
    "llamacpp": LlamaTokens,
}


def _message_text(choice: Any) -> str:
    """Return the text of a message, whole or in parts; a message that holds none is empty."""
    content = choice["message"].get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") in ("text", "output_text"))
    return content or ""


def _parts(content: Any) -> Sequence[Mapping[str, Any]]:
    """Return the parts of a message; a plain text is one part."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _ending(reason: Any) -> Ending:
    """Return how an answer ended by the server's reason: whole unless it is known to be cut or filtered."""
    if reason == "error":
        raise ValueError("the model's host failed")
    if reason in _FILTERED:
        return Ending.FILTERED
    return Ending.CUT if reason in _CUT else Ending.WHOLE


def _usage(response: Any) -> tuple[int, int]:
    """Return the tokens read and written by the server's own count, 0 where it gives none."""
    usage = response.get("usage") or {}
    return int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)


def _has_thoughts(content: Any) -> bool:
    """Return whether one of several parts of a message is a thought."""
    return isinstance(content, list) and any(p.get("type") in ("thinking", "reasoning") for p in content)
