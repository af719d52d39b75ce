"""Make preference pairs from demonstrations (ETO) and from search trees (Agent Q §5.2), and replay earlier rounds."""
