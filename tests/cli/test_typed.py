"""Amounts as people type them."""

import pytest

from bayes_atlas.cli.typed import to_number
from bayes_atlas.errors import InputError

AMOUNTS = {
    "1e22": 1e22,
    " 3E+23 ": 3e23,
    "8B": 8e9,
    "8 b": 8e9,
    "1.2T": 1.2e12,
    "310M": 3.1e8,
    "5k": 5e3,
    "10^23": 1e23,
    "3x10^23": 3e23,
    "3 \N{MULTIPLICATION SIGN} 10^23": 3e23,
    "2*10^21": 2e21,
    "1,000,000": 1e6,
    "1_000": 1e3,
    "-1": -1.0,
    "inf": float("inf"),
}


@pytest.mark.parametrize(("text", "value"), AMOUNTS.items(), ids=AMOUNTS)
def test_an_amount_is_read(text, value):
    assert to_number("--compute", text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["ten", "", "1..2", "8G", "1,00", "10^", "1e9B2", "--1", "10^999", "1e999x"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(InputError, match=r"^--compute is .*; it must be a number, such as 1e9, 8B, 1.2T or 10\^23$"):
        to_number("--compute", text)


def test_commands_take_amounts(command):
    plain = command("optimum", "chinchilla-2022", "--compute", "1e22", "--max-params", "8e9", "--unique", "3e11")
    typed = command("optimum", "chinchilla-2022", "--compute", "10^22", "--max-params", "8B", "--unique", "300B")
    assert (typed.code, typed.out) == (0, plain.out)
    wrong = command("optimum", "chinchilla-2022", "--compute", "ten")
    assert wrong.code == 2
    assert "it is 'ten'; it must be a" in wrong.err
