"""The models of the papers, one family per file."""
