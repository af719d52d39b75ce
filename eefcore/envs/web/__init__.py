"""Web sites for agents: pages as numbered text, checked actions, and two browsers that show the same.

`driver` says what a browser offers; `in_process` plays an ASGI site without a browser, `chromium` in Chromium.
"""

from eefcore.envs.web.driver import Driver, Visit
from eefcore.envs.web.page import Control, Kind, Page

__all__ = ["Control", "Driver", "Kind", "Page", "Visit"]
