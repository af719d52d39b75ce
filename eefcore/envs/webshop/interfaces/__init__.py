"""The shop as AgentLite's client and the official text environment show it, and the actions that each of them reads.

`AgentLite` and `OfficialText` are pure: what an action leads to depends on a `ShopSession` and a goal alone.
"""

from eefcore.envs.webshop.interfaces.agentlite import AgentLite
from eefcore.envs.webshop.interfaces.official import OfficialText
from eefcore.envs.webshop.interfaces.session import ShopSession

__all__ = ["AgentLite", "OfficialText", "ShopSession"]
