"""A Chromium for the tests of sites, ended after the last of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from eefcore.envs.web import chromium
from eefcore.envs.web.tab import Tab


@pytest.fixture(scope="session")
def open_tab() -> Iterator[Callable[..., Tab]]:
    yield chromium.open_tab
    chromium.close_browsers()
