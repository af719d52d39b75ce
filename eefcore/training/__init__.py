"""Train and score causal language models: rows and masks, L_SFT (EEF §3.2), L_DPO (Agent Q eq. 4, 5), one training loop.

Models are loaded and saved here and nowhere else.
"""
