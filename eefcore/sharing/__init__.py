"""Hand records and models to other programs: Hugging Face datasets of records, model cards, models pushed to a hub."""

from eefcore.sharing.hub import push_model
from eefcore.sharing.model_card import model_card, write_model_card
from eefcore.sharing.tables import KINDS, TextForm, table_rows, to_dataset, write_dataset

__all__ = [
    "KINDS",
    "TextForm",
    "model_card",
    "push_model",
    "table_rows",
    "to_dataset",
    "write_dataset",
    "write_model_card",
]
