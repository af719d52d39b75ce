"""What tests share: toys, episodes, workspaces, paths."""
