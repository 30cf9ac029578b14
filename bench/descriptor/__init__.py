"""A real descriptor model, and what it is worth on real videos."""
