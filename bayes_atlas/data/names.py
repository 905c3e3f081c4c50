"""Names of what is fitted: a language, or a group of its runs written as ``language:label``."""


def source_of(language: str) -> str:
    """The source of a language's own tokens: its name without the labels of a fit by label (``fr:multilingual``)."""
    return language.partition(":")[0]
