"""Scripted WebShop experts of several strengths, and the shopping skills that a tiny base is trained on."""
