"""Hand records to other programs: Hugging Face datasets of examples, preference pairs, trajectories and search trees."""

from eefcore.sharing.tables import KINDS, TextForm, table_rows, to_dataset, write_dataset

__all__ = ["KINDS", "TextForm", "table_rows", "to_dataset", "write_dataset"]
