"""Send requests to an endpoint: repeat those that fail for a passing reason, and say why the others got no answer.

A request is repeated after a time-out, a broken connection, 408, 409, 425, 429, 5xx, or an answer that the interface does not
promise; a pause that the server asks for (`Retry-After`) is kept. What can't be mended by asking again ends one episode: a full
context (also 413), a filter of the host, a refused request among others that were answered. What would fail every time (401,
404, an account without money) is an error that stops the stage.
"""

from __future__ import annotations

import json
import os
import re
import threading
import weakref
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import tenacity

from eefcore.errors import PolicyError
from eefcore.policies.openai.answers import AnswerCache
from eefcore.policies.openai.interface import Answer, Interface
from eefcore.policies.openai.prices import Account, BudgetSpent
from eefcore.types import StopReason
from eefcore.unicode import well_formed

LONGEST_PAUSE = 600.0  # seconds; a server that asks for a longer one is given up

_NOT_AN_ANSWER = (ValueError, KeyError, TypeError, IndexError, AttributeError)
_MAY_PASS = {408, 409, 425, 429}
_FULL = re.compile(
    r"context.?(length|window|size)|too long|longer than the model|too many tokens|input token count"
    r"|maximum number of tokens|tokens.{0,40}must be <=",
    re.IGNORECASE,
)
_NO_FUNDS = re.compile(r"insufficient_quota|billing_hard_limit|billing_not_active", re.IGNORECASE)
_FILTER = re.compile(r"content_filter|content_policy|content management policy", re.IGNORECASE)
_REFUSED = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|extra_forbidden|not valid"
    r"|cannot find",
    re.IGNORECASE,
)
_SAMPLING = ("top_k", "min_p", "repetition_penalty")
"""Fields of open servers that hosted models refuse: where one is refused, none is sent."""


class NoAnswer(Exception):
    """Error of a request without an answer, for a reason that ends one episode."""

    def __init__(self, stop: StopReason, reason: str) -> None:
        super().__init__(reason)
        self.stop, self.reason = stop, reason


class Client:
    """The connection to an endpoint, used by several threads.

    The key is read from the environment variable `key_variable` when a request is sent, and is kept nowhere.
    """

    def __init__(
        self,
        interface: Interface,
        *,
        concurrency: int,
        timeout: float,
        attempts: int,
        longest_pause: float,
        key_variable: str,
        account: Account | None = None,
        cache: AnswerCache | None = None,
    ) -> None:
        self.interface, self.account, self._cache = interface, account, cache
        self.notices: list[str] = []
        """What a person should hear, not yet heard."""
        self.http = httpx.Client(timeout=timeout, limits=httpx.Limits(max_connections=concurrency))
        weakref.finalize(self, self.http.close)
        self._key_variable, self._answered, self._spent = key_variable, False, False
        self._refused: set[str] = set()
        self._other_names: dict[str, str] = {}
        self._lock = threading.Lock()
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Transient),
            stop=tenacity.stop_after_attempt(attempts),
            wait=_Pause(longest_pause),
            reraise=True,
        )

    def answer(self, request: dict[str, Any]) -> Answer:
        """Return the answer to a request, a kept one if there is one.

        Raises:
            NoAnswer: the endpoint gives none.
            PolicyError: it would give none to any request.
        """
        kept = self._cache.get(self.interface.url, request) if self._cache else None
        if kept is not None:
            with suppress(*_NOT_AN_ANSWER):
                return self.interface.read(kept, request)
        try:
            return self._retrying(self._send, request)
        except _Transient as error:
            raise NoAnswer(StopReason.MODEL_FAILURE, hide_key(str(error), self._key_variable)) from None
        except BudgetSpent:
            raise NoAnswer(StopReason.MODEL_FAILURE, self._say_spent()) from None

    def most_tokens(self, request: Mapping[str, Any]) -> tuple[int, int]:
        """Return the most tokens that a request reads and writes."""
        return self.interface.most_read(request), self.interface.max_new_tokens

    def paid_tokens(self, request: Mapping[str, Any], answer: Answer) -> tuple[int, int]:
        """Return the billed tokens of an answer: the server's own counts, or else the most that there can be."""
        read, written = self.most_tokens(request)
        return answer.tokens_read or read, answer.tokens_written or written

    def _send(self, request: dict[str, Any]) -> Answer:
        """Send a request once, and again without fields that the server refuses."""
        account = self.account
        most = account.price.of(*self.most_tokens(request)) if account else 0.0
        with account.set_aside(most) if account else nullcontext():
            body = self._fit(request)
            response = self._post(body)
            while (refused := self._refused_field(response, body)) is not None:
                self._leave_out(refused, response)
                body = self._fit(request)
                response = self._post(body)
            content = self._content(response)
            try:
                answer = self.interface.read(content, request)
            except _NOT_AN_ANSWER as error:
                words = hide_key(response.text, self._key_variable)[:200]
                raise _Transient(f"not an answer of {self.interface.url}: {words!r}") from error
            if account:
                account.pay(*self.paid_tokens(request, answer))
        self._answered = True
        if self._cache is not None:
            self._cache.keep(self.interface.url, request, content)
        return answer

    def _fit(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request without the fields that this server refuses."""
        return {self._other_names.get(k, k): v for k, v in request.items() if k not in self._refused}

    def _post(self, body: Mapping[str, Any]) -> httpx.Response:
        content = well_formed(json.dumps(body, ensure_ascii=False)).encode()
        headers = {"Content-Type": "application/json"} | authorization(self._key_variable)
        try:
            return self.http.post(self.interface.url, content=content, headers=headers)
        except httpx.TransportError as error:
            raise _Transient(f"{type(error).__name__}: {error}") from None

    def _content(self, response: httpx.Response) -> Any:
        """Return the JSON of a response, or raise if it is an error."""
        try:
            body = response.json()
        except ValueError:
            body = None
        status = response.status_code
        if status == 200 and isinstance(body, dict) and (error := body.get("error")):
            # Some hosts send an error as a success.
            code = error.get("code") if isinstance(error, dict) else None
            unknown = 400 if _FULL.search(response.text) else 503
            status = code if isinstance(code, int) and 400 <= code < 600 else unknown
        if status != 200:
            self._raise(status, response)
        return body

    def _raise(self, status: int, response: httpx.Response) -> None:
        """Raise the error that fits the status and text of a response."""
        words = hide_key(response.text, self._key_variable)[:300]
        message = f"{self.interface.url} answered {status} for the model {self.interface.model!r}: {words}"
        if status == 429 and _NO_FUNDS.search(words):
            raise PolicyError(f"{message}; its account has no money left: pay, and run again to go on")
        if status in _MAY_PASS or status >= 500:
            raise _Transient(message, _retry_after(response.headers.get("Retry-After")))
        if status == 413 or (status in (400, 422) and _FULL.search(response.text)):
            raise NoAnswer(StopReason.CONTEXT_LIMIT, message)
        if status == 422 or (status == 400 and (self._answered or _FILTER.search(response.text))):
            raise NoAnswer(StopReason.MODEL_FAILURE, message)
        raise PolicyError(
            f"{message}; check the address, the model's name and the key in {self._key_variable}"
        )

    def _refused_field(self, response: httpx.Response, body: Mapping[str, Any]) -> str | None:
        """Return the field of `body` that the server does not take, if it is one that can be left out."""
        words = response.text
        if response.status_code not in (400, 422) or not _REFUSED.search(words):
            return None
        for field in ("max_tokens", *self.interface.optional_fields):
            if field in body and re.search(rf"""["'`]{field}\\?["'`]|supplied: {field}\b""", words):
                return field
        return None

    def _leave_out(self, field: str, response: httpx.Response) -> None:
        """Remember that the server does not take a field."""
        with self._lock:
            if field == "max_tokens":
                self._other_names[field] = "max_completion_tokens"
                return
            if field not in _SAMPLING and field not in self._refused:
                self.notices.append(
                    f"{self.interface.url} takes no {field} for the model {self.interface.model!r} "
                    f"({hide_key(response.text, self._key_variable)[:200]}); it is left out, so that the server's own value holds"
                )
            self._refused.update(_SAMPLING if field in _SAMPLING else (field,))

    def _say_spent(self) -> str:
        """Return the error that the budget is spent, and print a notice the first time."""
        assert self.account is not None
        reason = f"the budget of ${self.account.budget:g} for {self.interface.model} is spent"
        notice = (
            f"{reason} (${self.account.spent:.4f} paid): nothing more is asked, and its episodes end as model failures; "
            "raise budget and run again to go on, answers that were paid for are kept"
        )
        with self._lock:
            if not self._spent:
                self.notices.append(notice)
            self._spent = True
        return reason


def authorization(variable: str) -> dict[str, str]:
    """Return the header that shows the key of an environment variable; nothing if there is none.

    Raises:
        PolicyError: no header can carry the key, which the message does not show.
    """
    key = _key(variable)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise PolicyError(
            f"the key in {variable} holds a blank or a sign that no request can carry; set it again"
        )
    return {"Authorization": f"Bearer {key}"} if key else {}


def hide_key(text: str, variable: str) -> str:
    """Return `text` without the key, which some servers repeat; a word of a few letters is no secret."""
    key = _key(variable)
    return text.replace(key, "…") if len(key) >= 8 else text


def _key(variable: str) -> str:
    return os.environ.get(variable, "").strip()


class _Transient(Exception):
    """A failure that may be gone at the next attempt, after `pause` seconds if the server names a pause."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class _Pause(tenacity.wait.wait_base):
    """Wait as long as the server asks, or else with back-off."""

    def __init__(self, longest: float) -> None:
        self._backoff = tenacity.wait_random_exponential(max=longest)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        pause = error.pause if isinstance(error, _Transient) else None
        return self._backoff(retry_state) if pause is None else pause


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a server asks to wait, given as a number or a date."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    if seconds > LONGEST_PAUSE:
        raise NoAnswer(StopReason.MODEL_FAILURE, f"the server asks for a pause of {seconds:.0f} seconds")
    return max(0.0, seconds)
