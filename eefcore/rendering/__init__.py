"""Render histories as text and as token ids, the same way for rollout, training, evaluation and serving.

Formats and prompts write the text, the renderer makes ids and records where each action lies.
"""
