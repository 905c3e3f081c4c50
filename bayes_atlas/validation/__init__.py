"""Held-out validation: splits of a run table, predictions of held-out rows, and scores of these predictions."""
