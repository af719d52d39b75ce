"""Show the shop as the official text environment and AgentLite's client show it, and read their actions."""
