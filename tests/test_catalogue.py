"""Models and posteriors are found by name or by path, and a user's own model is loaded like one that ships."""

import inspect
import os
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from bayes_atlas import catalogue
from bayes_atlas.catalogue import (
    ModelError,
    NotFoundError,
    find_model,
    find_posterior,
    load_model,
    model_names,
    models_folder,
    posterior_names,
    posteriors_folder,
    read_model,
)
from bayes_atlas.laws import law_names

MODEL = '''"""A law of mine.

More about it.
"""

LAW = "chinchilla"


def model(params, tokens, loss=None):
    return params / tokens
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder as the working one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shipped_posterior(tmp_path, monkeypatch):
    """The name of the only posterior that ships: a folder with both of its files."""
    folder = tmp_path / "posteriors" / "chinchilla-2022"
    folder.mkdir(parents=True)
    (folder / "info.json").write_text("{}")
    (folder.parent / "half-written").mkdir()
    monkeypatch.setattr(catalogue, "posteriors_folder", lambda: folder.parent)
    return folder.name


def write(path: Path, text: str = MODEL) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# Folders


def test_content_lies_beside_the_package_in_a_checkout():
    root = Path(catalogue.__file__).parents[1]
    assert models_folder() == root / "models"
    assert posteriors_folder() == root / "posteriors"


def test_content_lies_inside_the_installed_package(tmp_path):
    shipped = tmp_path / "bayes_atlas" / "_shipped" / "models"
    shipped.mkdir(parents=True)
    (tmp_path / "models").mkdir()
    (tmp_path / "pyproject.toml").touch()
    assert catalogue._shipped_folder("models", tmp_path / "bayes_atlas") == shipped


def test_a_folder_called_models_beside_an_installed_package_is_not_ours(tmp_path):
    (tmp_path / "models").mkdir()
    with pytest.raises(NotFoundError, match=r"lacks its models \(no folder .*_shipped.models\); reinstall it"):
        catalogue._shipped_folder("models", tmp_path / "bayes_atlas")


# Finding models


def test_every_model_that_ships_has_a_name_a_file_and_a_summary():
    assert "chinchilla" in model_names()
    assert model_names() == sorted(model_names())
    for name in model_names():
        assert find_model(name) == models_folder() / f"{name}.py"
        assert read_model(name).title


@pytest.mark.parametrize("text", ["mine.py", "./mine.py", "sub/../mine.py"])
def test_a_separator_or_py_makes_a_path(here, text):
    (here / "sub").mkdir()
    file = write(here / "mine.py")
    found = find_model(text)
    assert found.is_absolute()
    assert found.samefile(file)


def test_a_path_object_is_a_path_even_without_a_separator(here):
    file = write(here / "chinchilla")
    assert find_model(Path("chinchilla")) == file
    assert find_model("chinchilla") == models_folder() / "chinchilla.py"


def test_an_unknown_model_lists_those_there_are_and_guesses():
    with pytest.raises(NotFoundError, match=r"no model is called 'chinchila'\. Did you mean 'chinchilla'") as caught:
        find_model("chinchila")
    assert ", ".join(model_names()) in str(caught.value)
    assert "./chinchila.py" in str(caught.value)


def test_a_model_name_unlike_any_other_gets_no_guess():
    with pytest.raises(NotFoundError, match=r"no model is called ''\. Choose one of: "):
        find_model("")


def test_a_model_path_that_is_missing(here):
    with pytest.raises(NotFoundError, match=r"there is no model file .*mine\.py; .* one that ships: .*chinchilla"):
        find_model("mine.py")


@pytest.mark.parametrize("text", [".", "..", "./", "sub/"])
def test_a_model_path_that_is_a_folder(here, text):
    (here / "sub").mkdir()
    with pytest.raises(NotFoundError, match=r"is a folder; give the model's \.py file"):
        find_model(text)


# Finding posteriors


def test_every_posterior_that_ships_is_found_by_its_name():
    for name in posterior_names():
        assert find_posterior(name) == posteriors_folder() / name


def test_a_posterior_by_name(shipped_posterior):
    assert posterior_names() == [shipped_posterior]
    assert find_posterior(shipped_posterior).name == shipped_posterior


def test_an_unknown_posterior_lists_those_there_are_and_guesses(shipped_posterior):
    with pytest.raises(NotFoundError, match=r"Did you mean 'chinchilla-2022'.*as in \./chinchilla-2023"):
        find_posterior("chinchilla-2023")


def test_where_no_posterior_ships_the_message_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "posteriors_folder", lambda: tmp_path / "absent")
    with pytest.raises(NotFoundError, match=r"Choose one of: \(none\)"):
        find_posterior("mine")


def test_a_posterior_by_path(here):
    write(here / "mine" / "info.json", "{}")
    assert find_posterior("./mine") == find_posterior(Path("mine")) == here / "mine"


def test_the_working_folder_is_a_posterior_path(here):
    write(here / "info.json", "{}")
    assert find_posterior(".").samefile(here)


def test_a_posterior_path_that_is_missing(here, shipped_posterior):
    with pytest.raises(NotFoundError, match=r"there is no posterior folder .*mine; .*: chinchilla-2022$"):
        find_posterior("./mine")


def test_a_posterior_path_that_is_a_file(here):
    write(here / "mine" / "info.json", "{}")
    with pytest.raises(NotFoundError, match=r"info\.json is a file; give the folder"):
        find_posterior("mine/info.json")


def test_a_posterior_path_without_a_posterior(here):
    (here / "mine").mkdir()
    with pytest.raises(NotFoundError, match=r"mine is no posterior, as it holds no info\.json"):
        find_posterior("./mine")


# Loading


@pytest.mark.parametrize("name", model_names())
def test_every_model_that_ships_loads_and_names_its_law(name):
    module = load_model(name)
    assert callable(module.model)
    assert module.LAW in law_names()


def test_a_name_and_a_path_load_alike():
    by_name, by_path = load_model("chinchilla"), load_model(models_folder() / "chinchilla.py")
    assert by_name.__file__ == by_path.__file__
    assert by_name.__name__ == by_path.__name__


def test_a_file_of_ones_own(here):
    write(here / "mine.py")
    module = load_model("mine.py")
    assert module.LAW == "chinchilla"
    assert module.model(6.0, 2.0) == 3.0
    assert module.__doc__ is not None and module.__doc__.startswith("A law of mine.")
    assert module.__file__ == str(here / "mine.py")
    assert sys.modules[module.__name__] is module


def test_the_module_is_registered_before_its_code_runs(here):
    write(here / "mine.py", "import sys\nregistered = sys.modules[__name__].__file__ == __file__\n" + MODEL)
    assert load_model("mine.py").registered


def test_a_dataclass_with_postponed_annotations_works(here):
    imports = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    prior = "@dataclass\nclass Prior:\n    scale: float = 1\n"
    write(here / "mine.py", imports + prior + "def model(loss=None):\n    return Prior().scale\n")
    assert load_model("mine.py").model() == 1


def test_files_of_one_name_in_two_folders_stay_apart(here):
    first = load_model(write(here / "a" / "mine.py", MODEL + "WHICH = 'a'\n"))
    second = load_model(write(here / "b" / "mine.py", MODEL + "WHICH = 'b'\n"))
    assert (first.WHICH, second.WHICH) == ("a", "b")
    assert first.__name__ != second.__name__


def test_a_file_named_like_a_module_of_python_leaves_that_one_alone(here):
    before = sys.modules["os"]
    load_model(write(here / "os.py"))
    assert sys.modules["os"] is before is os


def test_a_file_just_edited_is_loaded_as_it_now_is(here):
    file = write(here / "mine.py", MODEL + "WHICH = 1\n")
    assert load_model(file).WHICH == 1
    write(file, MODEL + "WHICH = 2\n")
    assert load_model(file).WHICH == 2
    assert not (here / "__pycache__").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"x = 1\ndef model(:\n", r"mine\.py, line 2: invalid syntax; correct the line"),
        (b"x = 1\nreturn x\n", r"mine\.py, line 2: 'return' outside function; correct the line"),
        (b"x = 1\n\0", r"mine\.py: source code string cannot contain null bytes"),
        (b"x = '\xe9'\n", r"mine\.py, line 1: \(unicode error\)"),
        (b"x = 1\nimport no_such_module\n", r"mine\.py, line 2: No module named 'no_such_module'; install"),
        (b"from math import nothing\n", r"mine\.py, line 1: cannot import name 'nothing' from 'math'.*; install"),
        (b"from . import mine\n", r"mine\.py, line 1: attempted relative import.*correct the import"),
        (b"x = 1\n\ny = X\n", r"mine\.py, line 3: NameError as the file was loaded: name 'X' is not defined"),
        (b"import json\njson.loads('{')\n", r"mine\.py, line 2: JSONDecodeError as the file was loaded"),
        (b"", r"mine\.py defines no function `model`; write one"),
        (b"model = 3\n", r"mine\.py defines no function `model`; write one"),
    ],
)
def test_a_faulty_file_is_refused_and_not_left_registered(here, text, message):
    (here / "mine.py").write_bytes(text)
    before = set(sys.modules)
    with pytest.raises(ModelError, match=message):
        load_model("mine.py")
    assert not any("mine" in name for name in set(sys.modules) - before)


# Summaries


def test_the_summary_is_the_first_line_and_runs_nothing(here):
    file = write(here / "mine.py", MODEL + "raise SystemExit\n")
    assert read_model(file).title == "A law of mine."


def test_a_file_without_a_docstring_has_an_empty_summary(here):
    assert read_model(write(here / "mine.py", "x = 1\n")).title == ""


def test_the_summary_of_what_is_no_python(here):
    with pytest.raises(ModelError, match=r"mine\.py, line 1: invalid syntax"):
        read_model(write(here / "mine.py", "not a model\n"))


# What a file says of itself


def test_a_model_file_says_what_it_asks_for_and_runs_nothing(here):
    text = "LAW = 'chinchilla'\nraise SystemExit\ndef model(params, curves, tau_prior=None, loss=None):\n    pass\n"
    file = read_model(write(here / "mine.py", text))
    assert (file.name, file.law, file.observed) == (str(here / "mine.py"), "chinchilla", "loss")
    assert (file.covariates, file.optional) == (("params", "curves", "tau_prior"), ("tau_prior",))
    assert file.sha256 == sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", model_names())
def test_every_model_that_ships_is_read_as_it_runs(name):
    file, arguments = read_model(name), list(inspect.signature(load_model(name).model).parameters.values())
    assert [*file.covariates, file.observed] == [argument.name for argument in arguments]
    assert list(file.optional) == [argument.name for argument in arguments[:-1] if argument.default is None]
    assert file.law == load_model(name).LAW


def test_a_file_is_executed_once_for_each_text_of_it(here):
    path = write(here / "mine.py", MODEL + "WHICH = 1\n")
    first = read_model(path)
    assert first.module is read_model(path).module
    write(path, MODEL + "WHICH = 2\n")
    assert (first.module.WHICH, read_model(path).module.WHICH) == (1, 2)
