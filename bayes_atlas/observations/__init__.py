"""Tables in the form that models take: arrays, masks and groups that share parameters, as JAX pytrees."""
