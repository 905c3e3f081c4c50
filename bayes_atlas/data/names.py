"""Names of fitted groups: a language, or a labelled group of its runs, written ``language:label``."""


def source_of(language: str) -> str:
    """Return the source of a group's own tokens, its name without labels: ``fr`` for ``fr:multilingual``."""
    return language.partition(":")[0]
