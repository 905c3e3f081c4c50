"""One command per file, under its name; `bayes_atlas.cli` finds them here."""
