"""The tables that people bring: read, checked and described. Nothing here needs a sampler."""
