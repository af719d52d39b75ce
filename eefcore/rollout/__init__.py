"""Play simulations from any state, and decide from which expert states to explore: EEF Algorithm 1, lines 6-9.

Finders choose the next state from what earlier simulations found (EEF §6).
"""
