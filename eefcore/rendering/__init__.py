"""Render histories as text and as token ids, the same way for rollout, training, evaluation and serving.

Formats and prompts write the text; the renderer makes ids and records where each action lies.
"""

from eefcore.rendering.formats import ChatFormat, Format, LastPageFormat, Piece, TurnFormat, load_format
from eefcore.rendering.renderer import Renderer, make_renderer

__all__ = [
    "ChatFormat",
    "Format",
    "LastPageFormat",
    "Piece",
    "Renderer",
    "TurnFormat",
    "load_format",
    "make_renderer",
]
