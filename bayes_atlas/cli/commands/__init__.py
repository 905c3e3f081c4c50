"""One command a file, named as it is typed; `bayes_atlas.cli` finds them here."""
