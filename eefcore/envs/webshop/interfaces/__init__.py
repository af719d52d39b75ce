"""The shop as the official text environment and AgentLite's client show it, and the actions that each of them reads."""
