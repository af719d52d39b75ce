"""Draw the figures of notebooks and reports; each knows its data, shows itself and is written as PNG and CSV."""
