"""Compare the methods of a suite over its seeds."""
