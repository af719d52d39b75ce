"""An event loop in a thread of its own, for asynchronous libraries behind functions that block: Jupyter's thread has a loop already."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from eefcore.errors import BrowserError

Result = TypeVar("Result")


class BackgroundLoop:
    """A thread that runs coroutines for others. Its tasks run side by side; each caller waits for its own."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Result], seconds: float) -> Result:
        """Return what a coroutine returns; raise BrowserError if it takes longer than `seconds`, or if the loop has ended."""
        if not self._thread.is_alive():
            coroutine.close()
            raise BrowserError("the browser was closed; open a new tab")
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(seconds)
        except TimeoutError as error:
            raise BrowserError(f"the browser did not answer within {seconds:g} s") from error
        except CancelledError as error:
            raise BrowserError("the browser was closed while it worked") from error
        finally:
            future.cancel()  # nothing, if it is done; a caller that was interrupted leaves no work behind

    def start(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine without waiting for it; nothing, if the loop has ended."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        else:
            coroutine.close()

    def close(self) -> None:
        """Cancel what runs, and end the thread."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(10)

    def _work(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
