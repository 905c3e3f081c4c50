"""The posterior artifact: a folder with ``draws.nc`` (an xarray DataTree) and ``info.json``.

It is data, not objects: any version that knows its schema can read it, and reading it runs none of its content. It is
written beside its place and renamed, so that a killed fit leaves the old posterior or none.
"""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

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
    """A folder that holds no posterior this version can use; the message says why and what to do."""


class _Record(BaseModel):
    # As strings, because JSON has no NaN: the value of a check that failed may be one.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Check(_Record):
    """One named check of the sampling."""

    name: str
    passed: bool
    value: float
    limit: float
    where: str  # the parameter or chain with the worst value; empty where there is none
    advice: str  # what to do if it fails


class Runs(_Record):
    """The run table that was fitted."""

    name: str
    sha256: str
    rows: int
    curves: int
    left_out: dict[str, int]  # reason -> rows
    ranges: dict[str, tuple[float, float]]  # params, tokens, compute, epochs of what was fitted


class Sampling(_Record):
    """How it was sampled."""

    chains: int
    warmup: int
    draws: int  # per chain, as sampled; `checks` are of these
    interrupted: bool = False  # whether more were asked for
    kept: int  # per chain, as stored
    seed: int
    target_accept: float
    max_tree_depth: int
    platform: str
    seconds: float


class Staleness(_Record):
    """Log density at stored draws on a synthetic probe: while the model's text gives it, the posterior is current."""

    draws: list[tuple[int, int]]  # chain, draw
    log_density: list[float]
    covariates: dict[str, bool]  # those of the model, and whether it was given them
    sources: int
    sizes: int
    repeated: bool
    epochs: bool
    layout: dict[str, int] = {}  # of tables other than run tables: what their probe is made up from


class Info(_Record):
    """What info.json holds."""

    schema_version: Literal[1] = SCHEMA
    title: str
    model: str
    model_sha256: str
    law: str
    languages: list[str]
    sources: dict[str, list[str]]  # named sources of each language, by rank
    tau_from: str = ""  # posterior of transfer scores that the prior of tau came from, with the hash of its draws
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
        info: everything else that is known of it.
        name: where it came from, for messages.
    """

    draws: xr.DataTree
    info: Info
    name: str

    @property
    def law(self) -> ModuleType:
        """The law that the posterior's model fits."""
        return get_law(self.info.law)

    @property
    def failed_checks(self) -> list[Check]:
        """Checks of the sampling that did not pass."""
        return [check for check in self.info.checks if not check.passed]

    @property
    def notes(self) -> list[str]:
        """Checks that failed and other doubts about the sampling, a sentence each without its full stop."""
        notes = [
            f"the check {check.name} failed ({check.value:.4g}, limit {check.limit:.4g}): {check.advice}"
            for check in self.failed_checks
        ]
        if self.info.sampling.interrupted:
            notes.append("sampling was interrupted: there are fewer draws than were asked for")
        return notes

    def rows(self) -> list[dict[str, str]]:
        """What it was fitted to and how it was sampled, as a small table for people: column -> cell."""
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
        """`name` if the posterior knows it; the only language where `name` is None.

        Raises:
            InputError: no such language, or none named though there are several; the message lists them.
        """
        languages = self.info.languages
        if name is None and len(languages) == 1:
            return languages[0]
        if name not in languages:
            problem = "no language was named" if name is None else f"{self.name} has no language {name!r}"
            raise InputError(f"{problem}; choose one of: {', '.join(languages)}")
        return name

    def parameters(self, language: str) -> dict[str, Floats]:
        """Draws of the law's parameters for one language, in its units of `Info.references`.

        Returns:
            name -> ``(draw,)``, or ``(draw, source)`` for parameters of its named sources.
        """
        chosen = self._stacked.sel(language=self.language(language))
        names = [name for name in self.law.PARAMETERS if name in chosen]
        return {name: chosen[name].transpose("sample", ...).to_numpy().astype(float) for name in names}

    def drawn(self, *sites: str) -> dict[str, Floats]:
        """Draws of `sites`, as they are stored: name -> ``(draw, ...)``.

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
        """Write to `folder`; all of it or, if interrupted, nothing.

        Raises:
            InputError: `folder` exists and `force` is not set, or is no posterior.
            OSError: it cannot be written.
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
    """Refuse to write a posterior where something already is, unless it is a posterior and `force` is set.

    Also where no folder can be made: a fit should learn that before it samples, not after.
    """
    target = Path(folder)
    if not os.path.lexists(target):
        above = next(path for path in target.absolute().parents if path.exists())
        if not above.is_dir():
            raise InputError(f"{target} cannot be made, as {above} is a file; name another folder")
        if not os.access(above, os.W_OK | os.X_OK):
            raise InputError(f"{target} cannot be made, as {above} is not yours to write in; name another folder")
        return
    if not (target / INFO).is_file():
        raise InputError(f"{target} exists and is no posterior; name another folder, or remove it yourself")
    if not force:
        raise InputError(f"{target} already holds a posterior; name another folder, or replace it with --force")


def load_posterior(posterior: NameOrPath, *, parameters_only: bool = False) -> Posterior:
    """Load a posterior that ships, by name, or any other, by path. Its content is data: nothing in it is executed.

    With `parameters_only` the group ``posterior`` alone is read, which is all that decisions use and loads faster.

    Raises:
        InputError: there is none (the message lists those there are), or it is damaged, foreign or of another schema.
    """
    folder = find_posterior(posterior)
    info = read_info(posterior)
    if info.draws_sha256 != _sha256(folder / DRAWS):
        raise PosteriorError(
            f"{folder / DRAWS} is not the file that {INFO} describes (its sha256 differs); it was damaged or replaced: "
            f"restore it, or fit again with --force"
        )
    try:
        if parameters_only:
            parameters = xr.load_dataset(folder / DRAWS, group="posterior", engine="h5netcdf")
            draws = xr.DataTree.from_dict({"posterior": parameters})
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
            f"{folder / DRAWS} holds no posterior of the languages that {INFO} names ({', '.join(info.languages)}); "
            f"restore both, or fit again with --force"
        )
    return Posterior(draws, info, str(posterior))


def read_info(posterior: NameOrPath) -> Info:
    """What a posterior's info.json says, without its draws; errors as of `load_posterior`."""
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
    """Make the folder's files durable before it is renamed into place."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def thin(draws: xr.DataTree, kept: int) -> xr.DataTree:
    """`kept` evenly spaced draws of each chain, in every group that has chains."""

    def thinned(dataset: xr.Dataset) -> Any:
        size = dataset.sizes.get("draw", kept)
        if size <= kept:
            return dataset
        return dataset.isel(draw=np.linspace(0, size - 1, kept).round().astype(int))

    return draws.map_over_datasets(thinned)
