"""Fit a model and record it: the table made ready, the draws checked and stored, and later evaluated again."""
