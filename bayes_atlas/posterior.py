"""The posterior artifact: a folder with ``draws.nc`` (an xarray DataTree) and ``info.json``.

It stores data, not objects. Any version that knows its schema can read it, and reading executes nothing in it. A save
writes a new folder beside the target and then renames it. If it is killed, it leaves the old posterior or none.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

import h5netcdf
import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, ValidationError

from bayes_atlas.arrays import Floats
from bayes_atlas.catalogue import NameOrPath, find_posterior
from bayes_atlas.data.text import page, plural, screen
from bayes_atlas.errors import InputError
from bayes_atlas.laws import get_law

SCHEMA: Final = 1
LISTED = 8  # languages that a repr names
DRAWS, INFO = "draws.nc", "info.json"


class PosteriorError(InputError):
    """A folder without a posterior that this version can read. The message gives the reason and the next step."""


class _Record(BaseModel):
    # JSON has no NaN, and the value of a failed check may be NaN; such numbers are stored as strings.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Check(_Record):
    """One named check of the sampling."""

    name: str
    passed: bool
    value: float
    limit: float
    where: str  # the parameter or chain with the worst value; empty if there is none
    advice: str  # next step if it fails


class Runs(_Record):
    """The fitted run table."""

    name: str
    sha256: str
    rows: int
    curves: int
    left_out: dict[str, int]  # reason -> rows
    ranges: dict[str, tuple[float, float]]  # params, tokens, compute, epochs, .. of what was fitted
    ranges_by_language: dict[str, dict[str, tuple[float, float]]] = {}  # the same for each language


class Sampling(_Record):
    """The sampler's settings and its run."""

    chains: int
    warmup: int
    draws: int  # per chain, as sampled; `checks` use all of them
    interrupted: bool = False  # True if there are fewer draws than requested
    kept: int  # per chain, as stored
    attempts: int = 1  # how often the sampler was adapted; the draws are those of one attempt
    dropped: int = 0  # draws per chain of other attempts
    ended: str = ""  # why sampling ended before the checks passed; empty for a fixed number of draws
    seed: int
    target_accept: float
    max_tree_depth: int
    platform: str
    seconds: float


class Staleness(_Record):
    """Log density at stored draws on a synthetic probe. The posterior is current as long as its model reproduces it."""

    draws: list[tuple[int, int]]  # chain, draw
    log_density: list[float]
    covariates: dict[str, bool]  # covariate of the model -> True if the table has it
    sources: int
    sizes: int
    repeated: bool
    epochs: bool
    burn_in: bool = False
    together: bool = False
    layout: dict[str, int] = {}  # for tables other than run tables: input of their probe


class Info(_Record):
    """Contents of info.json."""

    schema_version: Literal[1] = SCHEMA
    title: str
    model: str
    model_sha256: str
    law: str
    languages: list[str]
    sources: dict[str, list[str]]  # named sources of each language, by rank
    tau_from: str = ""  # posterior of transfer scores behind the prior of tau, with the hash of its draws
    references: dict[str, dict[str, float]]  # language -> units of params and tokens in its parameters
    runs: Runs
    sampling: Sampling
    checks: list[Check]
    staleness: Staleness
    versions: dict[str, str]
    created: datetime
    draws_sha256: str = ""


@dataclass(frozen=True)
class Posterior:
    """A fitted posterior.

    Attributes:
        draws: DataTree with groups ``posterior``, ``sample_stats``, ``prior``, ``log_prior`` (see
            `bayes_atlas.inference.evaluate`) and, unless left out, ``log_likelihood``, ``observed_data``,
            ``constant_data``; dims ``chain``, ``draw`` and those of the model's plates.
        info: model, table, settings and checks of the fit.
        name: its source, for messages.
    """

    draws: xr.DataTree
    info: Info
    name: str

    @property
    def law(self) -> ModuleType:
        """The law of the posterior's model."""
        return get_law(self.info.law)

    @property
    def chains(self) -> int:
        """The number of chains. Flat draws are those of one chain after the other."""
        return self.draws["posterior"].sizes["chain"]

    @property
    def failed_checks(self) -> list[Check]:
        """The failed checks of the sampling."""
        return [check for check in self.info.checks if not check.passed]

    @property
    def notes(self) -> list[str]:
        """Failed checks and other caveats about the sampling, each a sentence without its full stop."""
        notes = [
            f"the check {check.name} failed ({check.value:.4g}, limit {check.limit:.4g}): {check.advice}"
            for check in self.failed_checks
        ]
        if self.info.sampling.interrupted:
            notes.append("sampling was interrupted: there are fewer draws than requested")
        return notes

    def rows(self) -> list[dict[str, str]]:
        """Return a summary of the fit and its sampling as rows of a table, column -> cell."""
        info, sampling, failed = self.info, self.info.sampling, len(self.failed_checks)
        more = f" and {len(info.languages) - LISTED} more" if len(info.languages) > LISTED else ""
        drawn = f"{plural(sampling.chains, 'chain')} of {plural(sampling.draws, 'draw')}"
        facts = {
            "name": self.name,
            "model": info.model,
            "law": info.law,
            "languages": ", ".join(info.languages[:LISTED]) + more,
            "runs": f"{info.runs.name}: {plural(info.runs.rows, 'row')}, {plural(info.runs.curves, 'curve')}",
            "sampling": f"{drawn}, {sampling.kept:,} of each stored",
            "checks": f"{failed} of {len(info.checks)} failed" if failed else f"all {len(info.checks)} passed",
        }
        return [{"posterior": name, "": value} for name, value in facts.items()]

    def __repr__(self) -> str:
        return screen(self.info.title, self.rows(), self.notes)

    def _repr_html_(self) -> str:
        return page(self.info.title, self.rows(), self.notes)

    @cached_property
    def _stacked(self) -> xr.Dataset:
        return self.draws["posterior"].to_dataset().stack(sample=("chain", "draw"), create_index=False)

    def language(self, name: str | None) -> str:
        """Return `name` if it is a language of the posterior, or the only language if `name` is None.

        Raises:
            InputError: there is no such language, or there are several and `name` is None; the message lists them.
        """
        languages = self.info.languages
        if name is None and len(languages) == 1:
            return languages[0]
        if name not in languages:
            problem = "no language was named" if name is None else f"{self.name} has no language {name!r}"
            raise InputError(f"{problem}; choose one of: {', '.join(languages)}")
        return name

    def parameters(self, language: str) -> dict[str, Floats]:
        """Return draws of the law's parameters for one language, in its units of `Info.references`.

        Returns:
            name -> ``(draw,)``, or ``(draw, source)`` for parameters of the language's named sources.
        """
        chosen = self._stacked.sel(language=self.language(language))
        names = [name for name in self.law.PARAMETERS if name in chosen]
        return {name: chosen[name].transpose("sample", ...).to_numpy().astype(float) for name in names}

    def drawn(self, *sites: str) -> dict[str, Floats]:
        """Return the stored draws of `sites`: name -> ``(draw, ...)``.

        Raises:
            InputError: the posterior lacks one of them.
        """
        for name in sites:
            if name not in self._stacked:
                raise InputError(
                    f"{self.name} fits the law {self.info.law!r} and has no {name!r}; it has "
                    f"{', '.join(sorted(map(str, self._stacked)))}"
                )
        return {name: self._stacked[name].transpose("sample", ...).to_numpy().astype(float) for name in sites}

    def save(self, folder: str | Path, *, force: bool = False) -> "Posterior":
        """Write the posterior to `folder`. An interrupted save writes nothing.

        Raises:
            InputError: `folder` exists and is no posterior, or is one and `force` is not set.
            OSError: `folder` cannot be written.
        """
        check_target(folder, force=force)
        target = Path(folder).absolute()
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        new, old = staging / "new", staging / "old"
        try:
            new.mkdir()
            encoding = {
                group.path: {
                    str(name): {"zlib": True, "complevel": 5}
                    for name, values in group.data_vars.items()
                    if values.dtype.kind == "f"
                }
                for group in self.draws.subtree
                if group.data_vars
            }
            self.draws.to_netcdf(new / DRAWS, engine="h5netcdf", encoding=encoding)
            info = self.info.model_copy(update={"draws_sha256": _sha256(new / DRAWS)})
            (new / INFO).write_text(info.model_dump_json(indent=1) + "\n", encoding="utf-8")
            _sync(new)
            if target.exists():
                os.rename(target, old)
            os.rename(new, target)
        finally:
            if old.exists() and not target.exists():
                os.rename(old, target)
            shutil.rmtree(staging, ignore_errors=True)
        return Posterior(self.draws, info, str(folder))


def check_target(folder: str | Path, *, force: bool) -> None:
    """Check that a posterior can be written to `folder`. A fit calls this before it samples.

    Raises:
        InputError: `folder` exists and is no posterior, or is one and `force` is not set; or it cannot be created.
    """
    target = Path(folder)
    if not os.path.lexists(target):
        above = next(path for path in target.absolute().parents if path.exists())
        if not above.is_dir():
            raise InputError(f"{target} cannot be created, because {above} is a file; choose another folder")
        if not os.access(above, os.W_OK | os.X_OK):
            raise InputError(f"{target} cannot be created, because {above} is not writable; choose another folder")
        return
    if not (target / INFO).is_file():
        raise InputError(f"{target} exists and is no posterior; choose another folder, or remove it yourself")
    if not force:
        raise InputError(f"{target} already holds a posterior; choose another folder, or replace it with --force")


def load_posterior(posterior: NameOrPath, *, parameters_only: bool = False) -> Posterior:
    """Load a posterior that ships by its name, or any other by its path. Nothing in it is executed.

    With `parameters_only` the groups ``posterior`` and ``law_error`` alone are read. Decisions use no others.

    Raises:
        InputError: there is no such posterior (the message lists the available ones), or it is damaged, of another
            kind or of another schema.
    """
    folder = find_posterior(posterior)
    info = read_info(posterior)
    if info.draws_sha256 != _sha256(folder / DRAWS):
        raise PosteriorError(
            f"{folder / DRAWS} was damaged or replaced: its sha256 differs from that in {INFO}; restore it, or fit "
            f"again with --force"
        )
    try:
        if parameters_only:
            draws = xr.DataTree.from_dict(_groups(folder / DRAWS, ("posterior", "law_error")))
        else:
            draws = xr.load_datatree(folder / DRAWS, engine="h5netcdf")
    except (OSError, ValueError, KeyError) as error:
        raise PosteriorError(
            f"{folder / DRAWS} cannot be read ({error}); restore it, or fit again with --force"
        ) from error
    coords = draws["posterior"].coords if "posterior" in draws.children else xr.Dataset().coords
    languages = coords.get("language", coords.get("target"))
    if languages is None or languages.to_numpy().tolist() != info.languages:
        raise PosteriorError(
            f"{folder / DRAWS} does not have the languages in {INFO} ({', '.join(info.languages)}); restore both "
            f"files, or fit again with --force"
        )
    return Posterior(draws, info, str(posterior))


def _groups(path: Path, names: Sequence[str]) -> dict[str, xr.Dataset]:
    """Read those of some groups that a file has."""
    with h5netcdf.File(path, "r") as file:
        there = [name for name in names if name in file.groups]
    return {name: xr.load_dataset(path, group=name, engine="h5netcdf") for name in there}


def read_info(posterior: NameOrPath) -> Info:
    """Read a posterior's info.json, without its draws; errors as `load_posterior`."""
    path = find_posterior(posterior) / INFO
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PosteriorError(f"{path} cannot be read ({error}); restore it, or fit again with --force") from error
    try:
        return Info.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise PosteriorError(
            f"{path} is not a posterior of schema {SCHEMA}: {place}: {first['msg']} "
            f"({plural(error.error_count(), 'fault')} in all); use the version of bayes-atlas that wrote it, or "
            f"fit again with --force"
        ) from error


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise PosteriorError(f"{path} cannot be read ({error}); restore it, or fit again with --force") from error


def _sync(folder: Path) -> None:
    """Flush the files of `folder` to disk, before the folder is renamed."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def thin(draws: xr.DataTree, kept: int) -> xr.DataTree:
    """Keep `kept` evenly spaced draws of each chain, in every group with draws."""

    def thinned(dataset: xr.Dataset) -> Any:
        size = dataset.sizes.get("draw", kept)
        if size <= kept:
            return dataset
        return dataset.isel(draw=np.linspace(0, size - 1, kept).round().astype(int))

    return draws.map_over_datasets(thinned)
