"""The shop as AgentLite's client and the official text environment show it, and the actions that each of them reads."""
