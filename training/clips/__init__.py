"""The clips of a run: splits, few labels, and what is computed of clips once and kept."""
