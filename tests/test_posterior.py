"""The artifact: what is saved comes back, what is damaged is refused, and what is interrupted leaves nothing broken."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from bayes_atlas import catalogue
from bayes_atlas.catalogue import NotFoundError
from bayes_atlas.errors import InputError
from bayes_atlas.folder.draws import Arrays, DrawsFile
from bayes_atlas.folder.info import INFO, Check, PosteriorError, read_info
from bayes_atlas.laws import law_names
from bayes_atlas.posterior import DRAWS, check_target, load_posterior, thin
from tests.killing import KILLER

ROOT = Path(__file__).parents[1]


@pytest.fixture
def saved(tiny_posterior, tmp_path):
    """The folder of a saved posterior."""
    tiny_posterior.save(tmp_path / "saved")
    return tmp_path / "saved"


def retitled(posterior, title):
    return replace(posterior, info=posterior.info.model_copy(update={"title": title}))


def edit_info(folder: Path, **changes: Any) -> None:
    path = folder / INFO
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def replace_draws(folder: Path, write: Callable[[Path], object]) -> None:
    """Replace the draws, and make info.json say that they are the right ones."""
    (folder / DRAWS).unlink()
    write(folder / DRAWS)
    edit_info(folder, draws_sha256=DrawsFile.read(folder / DRAWS).sha256)


# Round trip


def test_what_is_saved_comes_back(tiny_posterior, tmp_path):
    returned = tiny_posterior.save(tmp_path / "new" / "mine")
    loaded = load_posterior(tmp_path / "new" / "mine")
    xr.testing.assert_identical(loaded.draws, tiny_posterior.draws)
    assert loaded.info == returned.info
    assert loaded.info.model_copy(update={"draws_sha256": ""}) == tiny_posterior.info
    assert loaded.name == returned.name == str(tmp_path / "new" / "mine")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["mine"]
    assert sorted(path.name for path in (tmp_path / "new" / "mine").iterdir()) == [DRAWS, INFO]


def test_single_precision_stays(saved):
    assert load_posterior(saved).draws["posterior"]["E"].dtype == np.float32


def test_a_check_without_a_finite_value_comes_back(tiny_posterior, tmp_path):
    values = (np.nan, np.inf, -np.inf)
    checks = [Check(name="r_hat", passed=False, value=v, limit=1.01, where="E", advice="wait") for v in values]
    broken = replace(tiny_posterior, info=tiny_posterior.info.model_copy(update={"checks": checks}))
    broken.save(tmp_path / "mine")
    loaded = load_posterior(tmp_path / "mine")
    np.testing.assert_equal([check.value for check in loaded.failed_checks], values)
    json.loads((tmp_path / "mine" / INFO).read_text(), parse_constant=pytest.fail)  # other languages know no NaN


def test_info_alone_is_read_without_draws(tiny_posterior, saved):
    (saved / DRAWS).unlink()
    assert read_info(saved).title == tiny_posterior.info.title


def test_a_posterior_that_ships_goes_by_its_name(saved, monkeypatch):
    monkeypatch.setattr(catalogue, "posteriors_folder", lambda: saved.parent)
    assert load_posterior("saved").name == "saved"


def test_a_relative_folder_may_be_the_one_we_stand_in(tiny_posterior, saved, monkeypatch):
    monkeypatch.chdir(saved)
    retitled(tiny_posterior, "new").save(".", force=True)
    assert load_posterior(saved).info.title == "new"


# Targets


def test_an_existing_posterior_is_replaced_only_with_force(tiny_posterior, saved):
    new = retitled(tiny_posterior, "new")
    with pytest.raises(InputError, match=r"saved already holds a posterior; choose another folder, or replace it with"):
        new.save(saved)
    assert load_posterior(saved).info.title == tiny_posterior.info.title
    new.save(saved, force=True)
    assert load_posterior(saved).info.title == "new"
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_posterior_is_never_replaced(tiny_posterior, tmp_path, force):
    thesis, file, link = tmp_path / "thesis", tmp_path / "file", tmp_path / "link"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("dear")
    file.write_text("dear")
    link.symlink_to(tmp_path / "nowhere")
    for target in (thesis, file, link):
        with pytest.raises(InputError, match=rf"{target.name} exists and is no posterior; choose another folder"):
            tiny_posterior.save(target, force=force)
    assert (thesis / "chapter.tex").read_text() == file.read_text() == "dear"
    assert link.is_symlink()


def test_a_folder_that_cannot_be_made_is_refused_before_sampling(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be created, because .*file is a file; choose another folder"):
        check_target(tmp_path / "file" / "deep" / "mine", force=False)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=rf"cannot be created, because {tmp_path} is not writable"):
        check_target(tmp_path / "deep" / "mine", force=False)


# Damage


def truncate(folder: Path) -> None:
    content = (folder / DRAWS).read_bytes()
    (folder / DRAWS).write_bytes(content[: len(content) // 2])


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / DRAWS).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / DRAWS).write_bytes(content)


def foreign(path: Path) -> None:
    xr.DataTree.from_dict({"posterior": xr.Dataset({"mu": ("chain", [1.0])})}).to_netcdf(path, engine="h5netcdf")


def other_languages(path: Path) -> None:
    draws = xr.Dataset({"E": (("chain", "draw", "language"), np.ones((1, 1, 2)))}, {"language": ["en", "fr"]})
    xr.DataTree.from_dict({"posterior": draws}).to_netcdf(path, engine="h5netcdf")


def drop_the_law(folder: Path) -> None:
    content = json.loads((folder / INFO).read_text())
    del content["law"]
    (folder / INFO).write_text(json.dumps(content))


DAMAGE = {
    "truncated": (truncate, r"draws\.nc was damaged or replaced: its sha256 differs .*; restore it"),
    "bit flipped": (flip_a_bit, r"its sha256 differs from that in info\.json"),
    "another NetCDF": (lambda f: foreign(f / DRAWS), "its sha256 differs"),
    "no draws": (lambda f: (f / DRAWS).unlink(), r"draws\.nc cannot be read \(.*No such file.*\); restore it"),
    "draws are a folder": (
        lambda f: ((f / DRAWS).unlink(), (f / DRAWS).mkdir()),
        r"draws\.nc cannot be read \(.*Is a directory.*\); restore it",
    ),
    "draws are text": (
        lambda f: replace_draws(f, lambda path: path.write_text("none")),
        r"draws\.nc cannot be read \(.*\); restore it, or fit again with --force",
    ),
    "draws of another kind": (
        lambda f: replace_draws(f, foreign),
        r"draws\.nc does not have the languages in info\.json \(en, sw\); restore both",
    ),
    "draws of other languages": (
        lambda f: replace_draws(f, other_languages),
        r"does not have the languages in info\.json \(en, sw\)",
    ),
    "no JSON": (
        lambda f: (f / INFO).write_text("schema: 1"),
        r"info\.json is not a posterior of schema 1: the file: Invalid JSON.* \(1 faults? in all\)",
    ),
    "JSON of another kind": (lambda f: (f / INFO).write_text("[1]"), r"not a posterior of schema 1: the file: Input"),
    "cut short": (
        lambda f: (f / INFO).write_text((f / INFO).read_text()[:100]),
        r"schema 1: the file: Invalid JSON: EOF while parsing",
    ),
    "later schema": (
        lambda f: edit_info(f, schema_version=99),
        r"schema 1: schema_version: Input should be 1 .*; use the version of bayes-atlas that wrote it, or fit again",
    ),
    "missing field": (drop_the_law, r"schema 1: law: Field required"),
    "extra field": (lambda f: edit_info(f, mood="good"), r"schema 1: mood: Extra inputs are not permitted"),
    "nested field": (lambda f: edit_info(f, checks=[{"name": "r_hat"}]), r"checks\.0\.passed: Field required \(5 fa"),
    "not UTF-8": (
        lambda f: (f / INFO).write_bytes((f / INFO).read_text().encode("utf-16")),
        r"info\.json cannot be read \('utf-8' codec can't decode .*\); restore it",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_with_what_to_do(saved, damage, message):
    damage(saved)
    with pytest.raises(PosteriorError, match=message) as caught:
        load_posterior(saved)
    assert str(saved) in str(caught.value)


def edit_draws(edit):
    """Damage that changes the file of draws, with the hash that goes with it."""

    def damage(folder):
        with h5py.File(folder / DRAWS, "r+") as file:
            edit(file)
        edit_info(folder, draws_sha256=DrawsFile.read(folder / DRAWS).sha256)

    return damage


def put(name, value):
    def edit(file):
        file["posterior"][name][...] = value

    return edit


def first_is_nan(file):
    file["posterior"]["E"][0, 0] = np.nan


def external(file):
    del file["posterior"]["alpha"]
    file["posterior"]["alpha"] = h5py.ExternalLink("elsewhere.nc", "/posterior/alpha")


def outside(file):
    file["posterior"].create_dataset("more", shape=(4,), dtype="f4", external=[("raw.bin", 0, 16)])


def virtual(file):
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("elsewhere.nc", "more", shape=(4,))
    file["posterior"].create_virtual_dataset("more", layout)


def deep(file):
    file.create_group("a/b/c/d")


LIES = {
    "not finite": (first_is_nan, r"has values of E that are not finite"),
    "negative": (put("alpha", -0.3), r"has values of alpha that are not positive \(-0\.3\), which no law allows"),
    "beyond any law": (put("beta", 1e30), r"has values of beta beyond any law \(1e\+30\)"),
    "missing": (lambda file: file["posterior"].pop("alpha"), r"has no alpha, which the law chinchilla needs"),
    "soft link": (
        lambda file: file["posterior"].__setitem__("loop", h5py.SoftLink("/posterior/loop")),
        r"/posterior/loop is a link, and draws must lie in the file itself",
    ),
    "external link": (external, r"/posterior/alpha is a link, and draws must lie in the file itself"),
    "external storage": (outside, r"/posterior/more takes its values from another file"),
    "virtual": (virtual, r"/posterior/more takes its values from another file"),
    "scale factor": (
        lambda file: file["posterior"]["alpha"].attrs.__setitem__("scale_factor", np.float32(100)),
        r"/posterior/alpha has the attribute scale_factor, which would change its values",
    ),
    "huge": (
        lambda file: file["posterior"].create_dataset("pad", shape=(4, 2_000_000_000), dtype="f4", chunks=(1, 10**6)),
        r"its arrays up to /posterior/pad would take 3\.2e\+10 bytes of memory, in a file of",
    ),
    "compound": (
        lambda file: file["posterior"].create_dataset("odd", data=np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])),
        r"/posterior/odd is neither a group nor an array of numbers or text",
    ),
    "deep": (deep, r"groups lie deeper than 2 levels, at /a/b/c"),
    "no draws": (lambda file: file.move("posterior", "was"), r"has no group posterior"),
}


@pytest.mark.parametrize(("edit", "message"), LIES.values(), ids=LIES)
def test_draws_that_are_not_what_they_seem_are_refused(saved, edit, message):
    """The hash says what the file is; it does not make it a posterior."""
    edit_draws(edit)(saved)
    with pytest.raises(PosteriorError, match=message):
        load_posterior(saved)


def test_other_draws_in_place_of_the_posterior_are_refused(tiny_posterior, tmp_path):
    """As those of the prior, which are fewer."""
    fewer = tiny_posterior.draws["posterior"].to_dataset().isel(chain=[0])
    replace(tiny_posterior, draws=xr.DataTree.from_dict({"posterior": fewer})).save(tmp_path / "swapped")
    with pytest.raises(PosteriorError, match=r"has 1 entries of chain where info\.json states 2"):
        load_posterior(tmp_path / "swapped")


def test_the_draws_of_all_posteriors_that_ship_are_read_as_xarray_reads_them():
    for name in catalogue.posterior_names():
        folder = catalogue.find_posterior(name)
        file, tree = DrawsFile.read(folder / DRAWS), xr.load_datatree(folder / DRAWS, engine="h5netcdf")
        assert file.tree().identical(tree)
        for group in file.groups:
            ours, theirs = file.arrays(group), Arrays.of(tree[group].to_dataset())
            assert ours.dims == theirs.dims
            for variable in ours.names:
                np.testing.assert_array_equal(ours[variable], theirs[variable])
                assert ours[variable].dtype == theirs[variable].dtype


def test_parameters_are_those_of_the_tree(tiny_posterior, saved):
    loaded = load_posterior(saved)
    for language in loaded.info.languages:
        for name, values in loaded.parameters(language).items():
            own = tiny_posterior.draws["posterior"][name].sel(language=language)
            np.testing.assert_allclose(values, own.stack(sample=("chain", "draw")).to_numpy(), rtol=1e-6)
    assert loaded.count == tiny_posterior.count
    assert replace(loaded, draws=tiny_posterior.draws).arrays("posterior").sizes == loaded.arrays("posterior").sizes


def test_a_law_that_is_unknown_is_refused(saved):
    edit_info(saved, law="astrology")
    with pytest.raises(InputError, match=f"no law is called 'astrology'; choose one of: {', '.join(law_names())}"):
        _ = load_posterior(saved).law


def test_a_folder_without_info_is_no_posterior(saved):
    (saved / INFO).unlink()
    with pytest.raises(NotFoundError, match=r"saved is no posterior, as it holds no info\.json"):
        load_posterior(saved)


# Interruption

# Kills a save before the k-th time it touches the file system, for each k up to the end, and prints what is found then.
KILLED_SAVES = (
    KILLER
    + """
import json, os, shutil, signal, sys
from dataclasses import replace
from pathlib import Path
import xarray as xr
from bayes_atlas.catalogue import NotFoundError
from bayes_atlas.folder.info import read_info
from bayes_atlas.posterior import DRAWS, load_posterior
from bayes_atlas.folder.draws import DrawsFile

template, target = sys.argv[1:]
old = load_posterior(template)
small = old.draws["posterior"].to_dataset()[["E", "A", "B", "alpha", "beta"]]  # to be quick
draws = xr.DataTree.from_dict({"posterior": small})
new = replace(old, draws=draws, info=old.info.model_copy(update={"title": "new"}))

def killed(moment, force):
    child = os.fork()
    if child == 0:
        sys.addaudithook(killer(moment, signal.SIGKILL))
        new.save(target, force=force)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])

def found():
    try:
        info = read_info(target)
    except NotFoundError:
        return "none"
    return info.title if info.draws_sha256 == DrawsFile.read(Path(target) / DRAWS).sha256 else "broken"

new.save(target)  # so that whatever is loaded only once is loaded
states = {}
for force in (False, True):
    states[force], moment, going = [], 1, True
    while going:
        shutil.rmtree(target, ignore_errors=True)
        if force:
            shutil.copytree(template, target)
        going = killed(moment, force)
        states[force].append(found())
        for left in Path(target).parent.glob(".target.*"):  # which `sweep` would look at
            shutil.rmtree(left)
        moment += 1
load_posterior(target)
print(json.dumps([states[False], states[True]]))
"""
)


def runs_of(states: list[str]) -> list[str]:
    """`states` without immediate repetition."""
    return [state for state, before in zip(states, [None, *states], strict=False) if state != before]


def test_a_save_killed_at_any_moment_leaves_the_old_posterior_a_new_one_or_none(tiny_posterior, tmp_path):
    retitled(tiny_posterior, "old").save(tmp_path / "template")
    finished = subprocess.run(
        [sys.executable, "-c", KILLED_SAVES, tmp_path / "template", tmp_path / "target"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    first, second = json.loads(finished.stdout)
    assert len(first) > 10
    assert runs_of(first) == ["none", "new"]
    assert len(second) > 10
    assert runs_of(second) == ["old", "none", "new"]
    assert second.count("none") == 1  # between the two renames


def failing(monkeypatch, name: str, at: int, error: BaseException) -> None:
    """Make the `at`-th call of ``os.name`` fail."""
    real, calls = getattr(os, name), iter(range(1, 100))

    def function(*arguments):
        if next(calls) == at:
            raise error
        return real(*arguments)

    monkeypatch.setattr(os, name, function)


@pytest.mark.parametrize("error", [OSError("disk is full"), KeyboardInterrupt("disk is full")], ids=lambda e: type(e))
@pytest.mark.parametrize(("name", "at"), [("fsync", 1), ("fsync", 2), ("rename", 1), ("rename", 2)])
def test_an_exception_leaves_the_old_posterior_and_nothing_else(tiny_posterior, saved, monkeypatch, name, at, error):
    failing(monkeypatch, name, at, error)
    with pytest.raises(type(error), match="disk is full"):
        retitled(tiny_posterior, "new").save(saved, force=True)
    assert load_posterior(saved).info.title == tiny_posterior.info.title
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


def test_an_exception_where_nothing_was_leaves_nothing(tiny_posterior, tmp_path, monkeypatch):
    failing(monkeypatch, "rename", 1, OSError("disk is full"))
    with pytest.raises(OSError, match="disk is full"):
        tiny_posterior.save(tmp_path / "mine")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_save_leaves_is_no_posterior_by_name(tiny_posterior, saved, monkeypatch):
    shutil.copytree(saved, saved.parent / ".saved.x1y2z3" / "new")
    monkeypatch.setattr(catalogue, "posteriors_folder", lambda: saved.parent)
    assert catalogue.posterior_names() == ["saved"]


# Nothing that is read can run


def test_nothing_is_pickled_anywhere():
    """No module names anything that serialises objects, be it imported, called or allowed by an option."""
    for path in [*(ROOT / "bayes_atlas").rglob("*.py"), *(ROOT / "models").glob("*.py")]:
        text = path.read_text().replace("allow_pickle=False", "")
        named = re.findall(r"\b\w*pickle\b|\b(?:dill|joblib|marshal|shelve)\b", text)
        assert not named, path


# Reading a posterior


def test_parameters_of_a_language(tiny_posterior):
    parameters = tiny_posterior.parameters("sw")
    assert list(parameters) == ["E", "A", "B", "alpha", "beta"]
    stored = tiny_posterior.draws["posterior"]
    for name, draws in parameters.items():
        assert draws.shape == (100,)
        assert draws.dtype == np.float64
        np.testing.assert_array_equal(draws, stored[name].sel(language="sw").to_numpy().reshape(-1))


def test_parameters_of_sources_and_those_that_languages_share(tiny_posterior):
    posterior = tiny_posterior.draws["posterior"].to_dataset()
    tau = np.arange(2 * 50 * 2 * 3, dtype=float).reshape(2, 50, 2, 3)
    posterior["tau"] = (("chain", "draw", "language", "source"), tau)
    posterior["lam"] = posterior["E"].isel(language=0, drop=True)
    posterior["lam_scale"] = posterior["lam"]
    atlas = replace(
        tiny_posterior,
        draws=xr.DataTree.from_dict({"posterior": posterior}),
        info=tiny_posterior.info.model_copy(update={"law": "atlas"}),
    )
    parameters = atlas.parameters("sw")
    assert list(parameters) == ["E", "A", "B", "alpha", "beta", "lam", "tau"]
    assert parameters["lam"].shape == (100,)
    np.testing.assert_array_equal(parameters["tau"], tau[:, :, 1].reshape(100, 3))


def test_a_language_must_be_one_of_the_posterior(tiny_posterior):
    with pytest.raises(InputError, match=r"this posterior has no language 'yo'; choose one of: en, sw$"):
        tiny_posterior.parameters("yo")
    with pytest.raises(InputError, match=r"no language was named; choose one of: en, sw$"):
        tiny_posterior.language(None)
    assert tiny_posterior.language("sw") == "sw"


def test_the_only_language_need_not_be_named(tiny_posterior):
    alone = replace(tiny_posterior, info=tiny_posterior.info.model_copy(update={"languages": ["en"]}))
    assert alone.language(None) == "en"


def test_failed_checks(tiny_posterior):
    passed = tiny_posterior.info.checks
    assert tiny_posterior.failed_checks == []
    failed = passed[0].model_copy(update={"passed": False})
    info = tiny_posterior.info.model_copy(update={"checks": [passed[1], failed]})
    assert replace(tiny_posterior, info=info).failed_checks == [failed]


# Thinning


def test_thinning_keeps_evenly_spaced_draws_of_every_group(tiny_posterior):
    thinned = thin(tiny_posterior.draws, 8)
    assert thinned.groups == tiny_posterior.draws.groups
    for group in ("posterior", "sample_stats"):
        assert thinned[group].sizes["draw"] == 8
        assert thinned[group].sizes["chain"] == 2
        assert thinned[group]["draw"].to_numpy().tolist() == [0, 7, 14, 21, 28, 35, 42, 49]
    np.testing.assert_array_equal(
        thinned["posterior"]["E"], tiny_posterior.draws["posterior"]["E"].isel(draw=slice(0, 50, 7))
    )


@pytest.mark.parametrize("kept", [50, 1000])
def test_thinning_to_as_many_draws_or_more_changes_nothing(tiny_posterior, kept):
    xr.testing.assert_identical(thin(tiny_posterior.draws, kept), tiny_posterior.draws)


def test_thinning_leaves_groups_without_draws(tiny_posterior):
    observed = xr.Dataset({"loss": ("run", [3.0, 2.9])})
    tree = xr.DataTree.from_dict(
        {"posterior": tiny_posterior.draws["posterior"].to_dataset(), "observed_data": observed}
    )
    xr.testing.assert_identical(thin(tree, 5)["observed_data"].to_dataset(), observed)


# Shown


def test_a_posterior_shows_itself_on_one_screen(tiny_posterior):
    lines = repr(tiny_posterior).splitlines()
    assert lines[0] == "Made by hand"
    assert lines[2:] == [
        "name       this posterior",
        "model      chinchilla",
        "law        chinchilla",
        "languages  en, sw",
        "runs       hand.csv: 12 rows, 12 curves",
        "sampling   2 chains of 50 draws, 50 of each stored",
        "checks     all 2 passed",
    ]


def test_a_posterior_of_many_languages_that_failed_its_checks_shows_that(tiny_posterior):
    checks = [
        Check(name=f"check_{number}", passed=False, value=2.0, limit=1.0, where="", advice="more draws")
        for number in range(30)
    ]
    sampling = tiny_posterior.info.sampling.model_copy(update={"interrupted": True})
    update = {"checks": checks, "languages": [f"l{number}" for number in range(400)], "sampling": sampling}
    shown = replace(tiny_posterior, info=tiny_posterior.info.model_copy(update=update))
    lines = repr(shown).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "languages  l0, l1, l2, l3, l4, l5, l6, l7 and 392 more" in lines
    assert "checks     30 of 30 failed" in lines
    assert "Note: the check check_0 failed (2, limit 1): more draws." in lines
    assert shown.notes[-1] == "sampling was interrupted: there are fewer draws than requested"


def test_a_title_is_text_in_a_notebook_and_one_line_on_a_screen(tiny_posterior):
    shown = retitled(tiny_posterior, "<b>bold</b>\nand more")
    assert "<p>&lt;b&gt;bold&lt;/b&gt;\nand more</p>" in shown._repr_html_()
    assert repr(shown).splitlines()[0] == "<b>bold</b> and more"
