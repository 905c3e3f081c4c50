"""Decisions. Each takes a stored posterior and returns draws of its answer. One file per decision; none loads jax."""
