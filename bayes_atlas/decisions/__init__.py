"""Decisions: a stored posterior goes in, draws of a decision come out. One file per decision; none loads jax."""
