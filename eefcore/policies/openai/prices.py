"""Pay for answers: prices of tokens, a budget that stops requests before it is overdrawn, and a file of what was paid."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from eefcore.errors import UNDECODABLE, PolicyError, suggest
from eefcore.storage import stages
from eefcore.storage.disk import LineCodec, append_bytes, explain_os_errors


class Price(NamedTuple):
    """Dollars per million tokens read, and per million written."""

    read: float
    written: float

    def of(self, tokens_read: int, tokens_written: int) -> float:
        """Return the dollars that so many tokens cost."""
        return (tokens_read * self.read + tokens_written * self.written) / 1e6


def read_price(text: str, model: str) -> Price:
    """Return the price of a model: `30/60`, or from `gpt-4=30/60,…`, or from a YAML file of lines `gpt-4: 30/60`.

    Raises:
        PolicyError: the prices can't be read, or the model is not among them.
    """
    if text.endswith((".yaml", ".yml")):
        table = _read_file(stages.workspace() / text)
    else:
        entries = [part.strip().rpartition("=") for part in text.split(",")]
        table = {name or model: price for name, _, price in entries}
    if model not in table:
        raise PolicyError(
            f"prices {text!r}: no price of {model!r}; there are {', '.join(table) or 'none'}"
            + suggest(model, table)
        )
    read, _, written = str(table[model]).partition("/")
    try:
        price = Price(float(read), float(written))
    except ValueError:
        price = Price(-1.0, -1.0)
    if not all(0.0 <= dollars < float("inf") for dollars in price):
        raise PolicyError(
            f"prices {text!r}: expected dollars per million tokens read/written of {model!r}, as 30/60, got {table[model]!r}"
        )
    return price


def _read_file(path: Path) -> dict[str, str]:
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, *UNDECODABLE) as error:
        raise PolicyError(
            f"prices: {path.name} can't be read ({error}); expected a YAML file in the workspace with lines as gpt-4: 30/60"
        ) from error


class BudgetSpent(Exception):
    """The next request could overdraw the budget."""


class Payment(msgspec.Struct, frozen=True):
    """A line of the file of payments: an answer's tokens and its price in dollars."""

    tokens_read: int
    tokens_written: int
    dollars: float


class Account:
    """The payments for one model, in a file that reruns and parallel processes share.

    Before a request is sent the most that it can cost is set aside, so that answers under way don't overdraw the budget
    together. Another process sees what was paid, and not what is set aside.
    """

    def __init__(self, path: Path, price: Price, budget: float | None = None) -> None:
        self.price, self.budget, self._path = price, budget, path
        self._lines: LineCodec[Payment] = LineCodec(Payment)
        self._change = threading.Condition()
        self._spent, self._read_until = 0.0, 0  # dollars and bytes of the file
        self._set_aside, self._under_way = 0.0, 0  # dollars and requests

    @property
    def spent(self) -> float:
        """Return the dollars paid so far, those of earlier runs and other processes among them."""
        with self._change:
            return self._read_payments()

    @contextmanager
    def set_aside(self, dollars: float) -> Generator[None]:
        """Set `dollars` aside while a request is under way; wait for others under way if that may make room.

        Raises:
            BudgetSpent: the request could overdraw the budget.
        """
        with self._change:
            while self.budget is not None and self._read_payments() + self._set_aside + dollars > self.budget:
                if not self._under_way:
                    raise BudgetSpent
                self._change.wait()
            self._set_aside += dollars
            self._under_way += 1
        try:
            yield
        finally:
            with self._change:
                self._under_way -= 1
                self._set_aside = self._set_aside - dollars if self._under_way else 0.0
                self._change.notify_all()

    def pay(self, tokens_read: int, tokens_written: int) -> None:
        """Write down the tokens and dollars of an answer."""
        payment = Payment(tokens_read, tokens_written, self.price.of(tokens_read, tokens_written))
        with self._change, explain_os_errors("write", self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            append_bytes(self._path, self._lines.encode(payment, str(self._path)), sync=False)

    def _read_payments(self) -> float:
        """Return the sum of the file's payments, of which only the new ones are read."""
        if self._path.exists():
            with open(self._path, "rb") as file:
                file.seek(self._read_until)
                lines = file.read().splitlines(keepends=True)
            for line in lines:
                if line.endswith(b"\n"):
                    self._spent += self._lines.decode(line, str(self._path)).dollars
                    self._read_until += len(line)
        return self._spent
