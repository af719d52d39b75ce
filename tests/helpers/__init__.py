"""Helpers that tests share: toy environments, episodes, workspaces, paths."""
