"""Answers as text: numbers, and counts with their nouns."""

import pytest

from bayes_atlas.data.text import number, plural


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.34567, "0.3457"),
        (2.0, "2"),
        (999.94, "999.9"),
        (1234.5, "1,234"),
        (123_456.0, "123,456"),
        (7.7e8, "770M"),
        (8.45e9, "8.45B"),
        (1.4e12, "1.4T"),
        (-2e9, "-2B"),
        (float("inf"), "infinite"),
        (float("-inf"), "-infinite"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_as_people_write_them(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1234, "1,234 runs")])
def test_nouns_agree_with_their_count(count, text):
    assert plural(count, "run") == text
