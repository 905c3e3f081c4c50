"""The posterior artifact: a folder with ``draws.nc`` (an xarray DataTree) and ``info.json``.

It stores data, not objects. Any version that knows its schema can read it, and reading executes nothing in it. A save
writes a new folder beside the target and then renames it. If it is killed, it leaves the old posterior or none.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_atlas.arrays import Floats
from bayes_atlas.catalogue import NameOrPath, find_posterior
from bayes_atlas.data.text import page, plural, screen
from bayes_atlas.errors import InputError
from bayes_atlas.folder.draws import Arrays, DrawsFile, StorageError
from bayes_atlas.folder.info import INFO, Check, Info, PosteriorError, read_info
from bayes_atlas.folder.staging import staging, sweep
from bayes_atlas.laws import POSITIVE, get_law, needed

if TYPE_CHECKING:
    import xarray as xr

UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, StorageError)  # as h5py may raise
LARGEST = 1e18  # of any parameter
LISTED = 8  # languages that a repr names
DRAWS = "draws.nc"


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

    draws: "xr.DataTree"
    info: Info
    name: str

    @property
    def law(self) -> ModuleType:
        """The law of the posterior's model."""
        return get_law(self.info.law)

    @property
    def chains(self) -> int:
        """The number of chains. Flat draws are those of one chain after the other."""
        return self._posterior.sizes["chain"]

    @property
    def count(self) -> int:
        """The number of draws of all chains."""
        return self.chains * self._posterior.sizes["draw"]

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

    def arrays(self, group: str) -> Arrays | None:
        """Return a group of `draws` as named arrays; None if there is no such group."""
        return Arrays.of(self.draws[group].to_dataset()) if group in self.draws.children else None

    @cached_property
    def _posterior(self) -> Arrays:
        found = self.arrays("posterior")
        assert found is not None
        return found

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
        chosen = self._posterior.at("language", self.language(language))
        return {name: chosen.draws(name).astype(float) for name in self.law.PARAMETERS if name in chosen}

    def drawn(self, *sites: str) -> dict[str, Floats]:
        """Return the stored draws of `sites`: name -> ``(draw, ...)``.

        Raises:
            InputError: the posterior lacks one of them.
        """
        for name in sites:
            if name not in self._posterior:
                raise InputError(
                    f"{self.name} fits the law {self.info.law!r} and has no {name!r}; it has "
                    f"{', '.join(sorted(self._posterior.names))}"
                )
        return {name: self._posterior.draws(name).astype(float) for name in sites}

    def save(self, folder: str | Path, *, force: bool = False) -> "Posterior":
        """Write the posterior to `folder`. An interrupted save writes nothing.

        Raises:
            InputError: `folder` exists and is no posterior, or is one and `force` is not set.
            OSError: `folder` cannot be written.
        """
        check_target(folder, force=force)
        target = Path(folder).absolute()
        target.parent.mkdir(parents=True, exist_ok=True)
        encoding = {
            group.path: {
                str(name): {"zlib": True, "complevel": 5}
                for name, values in group.data_vars.items()
                if values.dtype.kind == "f"
            }
            for group in self.draws.subtree
            if group.data_vars
        }
        # In memory first: where a disk fills up, HDF5 may crash the process.
        contents = bytes(self.draws.to_netcdf(engine="h5netcdf", encoding=encoding))
        info = self.info.model_copy(update={"draws_sha256": DrawsFile(contents).sha256})
        with staging(target) as new:
            _write(new / DRAWS, contents)
            _write(new / INFO, (info.model_dump_json(indent=1) + "\n").encode())
        return Posterior(self.draws, info, str(folder))


def check_target(folder: str | Path, *, force: bool) -> None:
    """Check that a posterior can be written to `folder`. A fit calls this before it samples.

    Raises:
        InputError: `folder` exists and is no posterior, or is one and `force` is not set; or it cannot be created.
    """
    target = Path(folder)
    sweep(target.absolute())
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


class _OnDisk(Posterior):
    """A posterior whose DataTree is made when it is asked for; decisions need arrays of some groups only."""

    _file: DrawsFile

    @classmethod
    def of(cls, file: DrawsFile, info: Info, name: str) -> "_OnDisk":
        """Return the posterior of a file, with ``draws`` still to be made."""
        posterior = object.__new__(cls)
        for field, value in {"_file": file, "info": info, "name": name}.items():
            object.__setattr__(posterior, field, value)
        return posterior

    @cached_property
    def draws(self) -> "xr.DataTree":
        """As in `Posterior`."""
        return self._file.tree()

    def arrays(self, group: str) -> Arrays | None:
        """As in `Posterior`."""
        if "_file" not in self.__dict__:  # made by `dataclasses.replace`
            return super().arrays(group)
        try:
            return self._file.arrays(group) if group in self._file.groups else None
        except UNREADABLE as error:
            raise PosteriorError(
                f"the draws of {self.name} cannot be read ({error}); restore them, or fit again"
            ) from error


def load_posterior(posterior: NameOrPath) -> Posterior:
    """Load a posterior that ships by its name, or any other by its path. Nothing in it is executed.

    Its file is read once, and must hold all of its draws itself: see `bayes_atlas.folder.draws`. The DataTree ``draws``
    is made when it is first used.

    Raises:
        InputError: there is no such posterior (the message lists the available ones), or it is damaged, of another
            kind or of another schema.
    """
    folder = find_posterior(posterior)
    info = read_info(posterior)
    path = folder / DRAWS
    try:
        file = DrawsFile.read(path)
        if info.draws_sha256 != file.sha256:
            raise PosteriorError(
                f"{path} was damaged or replaced: its sha256 differs from that in {INFO}; restore it, or fit again "
                f"with --force"
            )
        file.check()
        found = _OnDisk.of(file, info, str(posterior))
        wrong = next(_faults(found), None)
    except UNREADABLE as error:
        raise PosteriorError(f"{path} cannot be read ({error}); restore it, or fit again with --force") from error
    if wrong:
        raise PosteriorError(f"{path} {wrong}; restore both files, or fit again with --force")
    return found


def _faults(posterior: Posterior) -> Iterator[str]:
    """Yield what contradicts `Info` or the law in the group ``posterior``."""
    info, arrays = posterior.info, posterior.arrays("posterior")
    if arrays is None:
        yield "has no group posterior"
        return
    languages = next((arrays[name].tolist() for name in ("language", "target") if name in arrays), None)
    if languages != info.languages:
        yield f"does not have the languages in {INFO} ({', '.join(info.languages)})"
    stated = {"chain": info.sampling.chains, "draw": info.sampling.kept}
    for dim, size in stated.items():
        if arrays.sizes.get(dim) != size:
            yield f"has {arrays.sizes.get(dim, 0)} entries of {dim} where {INFO} states {size}"
    for name in info.languages if needed(posterior.law) else []:
        if not {"params", "tokens"} <= set(info.references.get(name, ())) or name not in info.sources:
            yield f"has a language {name} whose references or sources {INFO} does not state"
    for name in needed(posterior.law):
        if name not in arrays:
            yield f"has no {name}, which the law {info.law} needs"
    for name in (name for name in posterior.law.PARAMETERS if name in arrays):
        values = arrays[name]
        if values.dtype.kind != "f" or arrays.dims[name][:2] != ("chain", "draw"):
            yield f"has no numbers by chain and draw in {name}"
        elif not np.isfinite(values).all():
            yield f"has values of {name} that are not finite"
        elif (most := float(np.abs(values).max())) > LARGEST:
            yield f"has values of {name} beyond any law ({most:.3g})"
        elif name in POSITIVE and values.min() <= 0:
            yield f"has values of {name} that are not positive ({values.min():.3g}), which no law allows"


def _write(path: Path, contents: bytes) -> None:
    """Write a file and flush it to disk, before its folder is renamed."""
    with path.open("wb") as file:
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())


def thin(draws: "xr.DataTree", kept: int) -> "xr.DataTree":
    """Keep `kept` evenly spaced draws of each chain, in every group with draws."""

    def thinned(dataset: "xr.Dataset") -> Any:
        size = dataset.sizes.get("draw", kept)
        if size <= kept:
            return dataset
        return dataset.isel(draw=np.linspace(0, size - 1, kept).round().astype(int))

    return draws.map_over_datasets(thinned)
