"""Lookup of models and posteriors, and loading of model files.

Shipped models and posteriors have names (``"atlas"``); all others have paths (``"./mine.py"``, ``"runs/posterior"``).
Text is a path if it contains a separator, is ``.`` or ``..``, or, for models, ends in ``.py``. A `pathlib.Path` is
always a path. The rest of the code treats both alike, so your own file works as well as a shipped one.
"""

import ast
import difflib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard, cast

from bayes_atlas.errors import InputError

PACKAGE = Path(__file__).parent

# Text is a name or a path; a path object is a path.
type NameOrPath = str | os.PathLike[str]


class NotFoundError(InputError):
    """No model or posterior has that name or is at that path."""


class ModelError(InputError):
    """A model file that cannot be used; the message names the file, the line and the next step."""


def models_folder() -> Path:
    """Return the folder of the shipped models, one ``.py`` file each."""
    return _shipped_folder("models", PACKAGE)


def posteriors_folder() -> Path:
    """Return the folder of the shipped posteriors, one folder each."""
    return _shipped_folder("posteriors", PACKAGE)


def _shipped_folder(kind: str, package: Path) -> Path:
    """Return the folder `kind` inside the installed `package`, or beside it in a checkout (with a pyproject.toml)."""
    installed = package / "_shipped" / kind
    if installed.is_dir():
        return installed
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "models").is_dir():
        return checkout / kind
    raise NotFoundError(f"this installation of bayes-atlas lacks its {kind} (no folder {installed}); reinstall it")


def model_names() -> list[str]:
    """Return the names of the shipped models, sorted."""
    return sorted(path.stem for path in models_folder().glob("*.py") if not path.name.startswith("_"))


def posterior_names() -> list[str]:
    """Return the names of the shipped posteriors, sorted."""
    return sorted(path.parent.name for path in posteriors_folder().glob("*/info.json"))


def find_model(model: NameOrPath) -> Path:
    """Return the absolute path of the model file that `model` names.

    Raises:
        NotFoundError: no such model; the message lists the shipped models, or states what is at the path instead.
    """
    if not _is_path(model, suffix=".py"):
        if model not in model_names():
            raise _unknown("model", str(model), model_names(), own=f"./{model}.py")
        return models_folder() / f"{model}.py"
    path = Path(model).absolute()
    if path.is_dir():
        raise NotFoundError(f"{path} is a folder; give the model's .py file")
    if not path.is_file():
        raise NotFoundError(
            f"there is no model file {path}; correct the path, or name one that ships: {_list_of(model_names())}"
        )
    return path


def find_posterior(posterior: NameOrPath) -> Path:
    """Return the absolute path of the folder of the posterior that `posterior` names, without reading its contents.

    Raises:
        NotFoundError: no such posterior; the message lists the shipped ones, or states what is at the path instead.
    """
    if not _is_path(posterior):
        if posterior not in posterior_names():
            raise _unknown("posterior", str(posterior), posterior_names(), own=f"./{posterior}")
        return posteriors_folder() / str(posterior)
    path = Path(posterior).absolute()
    if path.is_file():
        raise NotFoundError(f"{path} is a file; give the folder that holds the posterior's draws.nc and info.json")
    if not path.is_dir():
        raise NotFoundError(
            f"there is no posterior folder {path}; correct the path, "
            f"or name one that ships: {_list_of(posterior_names())}"
        )
    if not (path / "info.json").is_file():
        raise NotFoundError(f"{path} is no posterior, as it holds no info.json; give the folder that a fit has written")
    return path


def _is_path(text: NameOrPath, suffix: str | None = None) -> bool:
    if not isinstance(text, str):
        return True
    ending = suffix is not None and text.endswith(suffix)
    return ending or text in {".", ".."} or os.sep in text or (os.altsep is not None and os.altsep in text)


def _unknown(kind: str, name: str, names: Sequence[str], *, own: str) -> NotFoundError:
    close = difflib.get_close_matches(name, names, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    return NotFoundError(
        f"no {kind} is called {name!r}.{guess} Choose one of: {_list_of(names)}; "
        f"or give the path of your own, as in {own}"
    )


def _list_of(names: Sequence[str]) -> str:
    return ", ".join(names) or "(none)"


def load_model(model: NameOrPath) -> ModuleType:
    """Load the model file that `model` names and return it as a module with a function ``model``.

    This runs the file's code with the caller's rights: load only files that you would run yourself. Every call runs the
    current version of the file.

    Raises:
        NotFoundError: no such model.
        ModelError: the file is not valid Python, fails as it runs, or defines no function ``model``.
    """
    path = find_model(model)
    module = ModuleType(f"bayes_atlas_models.{path.stem}_{sha256(bytes(path)).hexdigest()[:8]}")
    module.__file__ = str(path)
    module.__package__ = ""  # a single file without siblings for relative imports
    sys.modules[module.__name__] = module  # before the code runs: dataclasses and type hints look up their module there
    try:
        _execute(path, module)
        if not callable(getattr(module, "model", None)):
            raise ModelError(f"{path} defines no function `model`; write one: covariates first and loss=None last")
    except ModelError:
        del sys.modules[module.__name__]
        raise
    return module


def _execute(path: Path, module: ModuleType) -> None:
    code = _compile(path)
    try:
        exec(code, vars(module))
    except ImportError as error:
        place = _place(path, _line_reached(path, error))
        raise ModelError(
            f"{place}: {error}; install what it needs into this environment or correct the import"
        ) from error
    except Exception as error:  # users' code may raise anything
        place = _place(path, _line_reached(path, error))
        raise ModelError(
            f"{place}: {type(error).__name__} as the file was loaded: {error}; correct the line"
        ) from error


@dataclass(frozen=True)
class ModelFile:
    """The declarations of a model file. The file is read, not run; only `module` and `function` run it.

    Attributes:
        path: absolute path of the file.
        name: name of a shipped model, or the path as given; `read_model` finds the file by it.
        sha256: hash of the text.
        title: first line of the docstring; empty if there is none.
        law: name of the law in ``LAW``; empty if there is none.
        covariates: arguments of the function ``model`` except the last, in order.
        optional: covariates that default to None.
        observed: the last argument, the observed values.
    """

    path: Path
    name: str
    sha256: str
    title: str
    law: str
    covariates: tuple[str, ...]
    optional: tuple[str, ...]
    observed: str

    @property
    def module(self) -> ModuleType:
        """The file as a module, executed once per version of its text; its function is the key of compiled programs."""
        return _loaded(self.path, self.sha256)

    @property
    def function(self) -> Callable[..., Any]:
        """The model's function."""
        return cast(Callable[..., Any], self.module.model)


def read_model(model: NameOrPath) -> ModelFile:
    """Return the declarations of the model file that `model` names. The file is read, not run.

    Raises:
        NotFoundError: no such model.
        ModelError: the file cannot be read or is not valid Python.
    """
    path = find_model(model)
    tree = _compile(path, ast.PyCF_ONLY_AST)
    arguments = next((node.args for node in tree.body if _defines_model(node)), NO_ARGUMENTS)
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    plain = arguments.posonlyargs + arguments.args
    defaults = dict(zip((each.arg for each in reversed(plain)), reversed(arguments.defaults), strict=False))
    defaults |= {
        each.arg: value for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value
    }
    return ModelFile(
        path=path,
        name=path.stem if str(model) == path.stem else str(model),
        sha256=sha256(path.read_bytes()).hexdigest(),
        title=(ast.get_docstring(tree) or "").partition("\n")[0],
        law=next((law for node in tree.body if (law := _law_named(node))), ""),
        covariates=tuple(names[:-1]),
        optional=tuple(name for name in names[:-1] if _is_none(defaults.get(name))),
        observed=names[-1] if names else "",
    )


NO_ARGUMENTS = ast.arguments([], [], None, [], [], None, [])


def _defines_model(node: ast.stmt) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef) and node.name == "model"


def _law_named(node: ast.stmt) -> str:
    """Return the text assigned by a line ``LAW = ".."``; empty for other lines."""
    if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)):
        return ""
    named = any(isinstance(target, ast.Name) and target.id == "LAW" for target in node.targets)
    return node.value.value if named and isinstance(node.value.value, str) else ""


def _is_none(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


@lru_cache(maxsize=64)
def _loaded(path: Path, sha256: str) -> ModuleType:
    return load_model(path)


def _compile(path: Path, flags: int = 0) -> Any:
    """Compile the file, or with ``PyCF_ONLY_AST`` parse it. There is no cache, so that every edit takes effect."""
    try:
        return compile(path.read_bytes(), path, "exec", flags=flags, dont_inherit=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}; make it readable to you") from error
    except SyntaxError as error:
        raise ModelError(f"{_place(path, error.lineno)}: {error.msg}; correct the line") from error


def _line_reached(path: Path, error: Exception) -> int | None:
    """Return the last line of `path` in the traceback, even if the error occurred in a function that it called."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1]


def _place(path: Path, line: int | None) -> str:
    return f"{path}, line {line}" if line else str(path)
