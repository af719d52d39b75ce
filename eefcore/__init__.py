"""Tune LLM agents on an expert's trajectories, failed ones included, and by tree search.

`import eefcore` loads no heavy package; each module names what it needs. Start with `eefcore.types`.
"""

__version__ = "0.1.0"
