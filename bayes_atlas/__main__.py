"""``python -m bayes_atlas`` is the command ``bayes-atlas``."""

from bayes_atlas.cli import main

main()
