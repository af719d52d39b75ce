"""Sample from a Hugging Face causal LM, many episodes side by side, with a cache that keeps what each episode has read."""
