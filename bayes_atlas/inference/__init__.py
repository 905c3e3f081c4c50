"""Fit a model: prepare the table, sample, check and store the draws, and evaluate the model at them later."""
