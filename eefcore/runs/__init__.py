"""Turn a params file into a plan of stages, and run each stage's notebook with papermill."""
