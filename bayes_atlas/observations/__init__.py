"""A table as a model sees it: arrays, masks and the groups that share parameters, as JAX pytrees."""
