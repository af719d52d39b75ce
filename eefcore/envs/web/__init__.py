"""Web sites for agents: pages as numbered text, checked actions, and two browsers that show the same.

`Browsing` takes texts of actions and returns observations, through a `Driver`: `InProcess` plays an ASGI site without a browser,
and `open_tab` opens a tab of Chromium on one.
"""

from eefcore.envs.web.browsing import Browsing, Moment, Outcome
from eefcore.envs.web.chromium import open_tab
from eefcore.envs.web.driver import Driver, Visit
from eefcore.envs.web.in_process import InProcess
from eefcore.envs.web.page import Control, Kind, Page
from eefcore.envs.web.tab import Tab

__all__ = [
    "Browsing",
    "Control",
    "Driver",
    "InProcess",
    "Kind",
    "Moment",
    "Outcome",
    "Page",
    "Tab",
    "Visit",
    "open_tab",
]
