"""Render histories as text and as token ids, the same way for rollout, training, evaluation and serving.

Formats and prompts write the text; the renderer makes ids and records where each action lies.
"""

from eefcore.rendering.formats import (
    ChatFormat,
    Format,
    LastPageChatFormat,
    LastPageFormat,
    Piece,
    TurnFormat,
    add_phrase,
    can_show,
    dialogue,
    load_format,
)
from eefcore.rendering.renderer import Encoded, Renderer, make_renderer
from eefcore.rendering.special_tokens import SpecialTokens

__all__ = [
    "ChatFormat",
    "Encoded",
    "Format",
    "LastPageChatFormat",
    "LastPageFormat",
    "Piece",
    "Renderer",
    "SpecialTokens",
    "TurnFormat",
    "add_phrase",
    "can_show",
    "dialogue",
    "load_format",
    "make_renderer",
]
