"""What tests of several commands need: the command itself, and posteriors and tables to give it."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import bayes_atlas.inference.staleness
from bayes_atlas.cli import console, main


@pytest.fixture(autouse=True)
def width(monkeypatch):
    """Help and tables of a known width, without colours wherever this runs."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(console.out, "width", 120)  # a console made where COLUMNS was set keeps that
    for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def command(capsys):
    """Run the command in this process: the exit code, what it wrote to stdout, and to stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit, match=r"^\d+$") as caught:
            main([str(argument) for argument in arguments])
        return SimpleNamespace(code=caught.value.code, **capsys.readouterr()._asdict())

    return run


@pytest.fixture
def table(tmp_path):
    """The path of a sound run table."""
    path = tmp_path / "runs.csv"
    sizes = [(params, tokens) for params in (1e8, 1e9) for tokens in (1e9, 1e10)]
    rows = [f"r{i},en,{params},{tokens},{2 + 1e8 / params + 1e9 / tokens}" for i, (params, tokens) in enumerate(sizes)]
    path.write_text("\n".join(["run,language,params,tokens,loss", *rows, ""]))
    return path


@pytest.fixture
def saved(tiny_posterior, tmp_path):
    """The folder of a posterior whose checks all passed."""
    tiny_posterior.save(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def failing(tiny_posterior, tmp_path):
    """The folder of a posterior whose R-hat is NaN, with a title that looks like markup."""
    r_hat, divergences = tiny_posterior.info.checks
    checks = [r_hat.model_copy(update={"passed": False, "value": float("nan")}), divergences]
    info = tiny_posterior.info.model_copy(update={"checks": checks, "title": "[bold]by :smile: hand"})
    replace(tiny_posterior, info=info).save(tmp_path / "failing")
    return tmp_path / "failing"


def relabelled(posterior, law, languages, sites):
    """A posterior like `posterior` of another law and other languages; `sites` are `(draw, language)`."""
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {name: (("chain", "draw", "language"), values[None]) for name, values in sites.items()},
                {"language": languages},
            )
        }
    )
    described = {"law": law, "languages": languages, "sources": {name: [] for name in languages}}
    described |= {"references": {name: {"params": 1e9, "tokens": 2e10} for name in languages}}
    kept = tree["posterior"].sizes["draw"]
    described |= {"sampling": posterior.info.sampling.model_copy(update={"chains": 1, "kept": kept})}
    return replace(posterior, draws=tree, info=posterior.info.model_copy(update=described))


@pytest.fixture
def capacity(tiny_posterior, tmp_path):
    """The folder of a posterior of the law capacity for two languages."""
    centres = {"E": 0.6, "A": 0.1, "B": 0.3, "alpha": 0.45, "beta": 0.15, "phi": 0.11, "psi": -0.04}
    noise = np.exp(0.02 * np.random.default_rng(0).normal(size=(40, 2)))
    sites = {name: centre * noise for name, centre in centres.items()}
    relabelled(tiny_posterior, "capacity", ["en", "fr"], sites).save(tmp_path / "capacity")
    return tmp_path / "capacity"


@pytest.fixture
def labelled(tiny_posterior, tmp_path):
    """The folder of a posterior of fr in two vocabularies, of which the second costs more."""
    noise = np.exp(0.005 * np.random.default_rng(0).normal(size=(40, 1)))
    worse = np.array([1.0, 1.05])
    sites = {"E": 1 + 0 * noise * worse, "A": 0.3 * noise * worse, "B": 0.4 * noise * worse}
    sites |= {"alpha": 0.35 * noise * [1, 1], "beta": 0.3 * noise * [1, 1]}
    relabelled(tiny_posterior, "chinchilla", ["fr:mono", "fr:multi"], sites).save(tmp_path / "labelled")
    return tmp_path / "labelled"


@pytest.fixture
def scenario(tmp_path):
    """The path of a scenario file."""
    path = tmp_path / "scenario.toml"
    path.write_text(
        'title = "Two languages"\ncompute = 1e21\n[weights]\nen = 1\nsw = 2\n[unique]\nen = 1e12\nsw = 1e10\n'
    )
    return path


@pytest.fixture
def staleness(monkeypatch):
    """Set what `is_stale` will say."""
    return lambda stale: monkeypatch.setattr(
        bayes_atlas.inference.staleness, "is_stale", lambda posterior, model=None: stale
    )


@pytest.fixture
def refused():
    """Check a user's mistake: exit code 2, the texts on stderr, no traceback, and nothing on stdout."""

    def check(result, *texts):
        assert result.code == 2
        assert result.out == ""
        assert "Traceback" not in result.err
        for text in texts:
            assert text in result.err

    return check


@pytest.fixture
def document():
    """Read the one JSON document that stdout is."""

    def not_json(constant):
        raise AssertionError(f"{constant} is not JSON")

    def read(result):
        assert result.err == ""
        return json.loads(result.out, parse_constant=not_json)

    return read
