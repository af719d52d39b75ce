"""Record a stage at work: its folder, metrics, W&B run, identity and provenance.

The stage's folder is the record; what is sent to W&B is a copy.
"""
