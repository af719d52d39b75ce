"""Scripted ScienceWorld experts of several strengths, and the skills that a tiny base is trained on."""
