"""Read other projects' trajectory files and write ours for their trainers."""
