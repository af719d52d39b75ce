"""Train LLM agents on expert trajectories, failed ones included (EEF), and by tree search (Agent Q).

Each subpackage exports its public names, and `import eefcore` loads no heavy package. Start with `eefcore.types`.
"""

__version__ = "0.1.0"
