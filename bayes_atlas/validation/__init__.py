"""Held-out validation: which rows are kept from a fit, what a posterior predicts for them, and how good that is."""
