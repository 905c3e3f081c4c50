"""Read, check and describe input tables. Nothing here needs a sampler."""
