"""The file of a posterior's draws: checks of its contents, and its groups as named arrays.

A posterior is data that may come from anywhere, so `DrawsFile.check` looks before anything is read. All that counts
must lie in the file itself, whose hash `info.json` states: no links, no external or virtual storage. Values must be
what they seem: no scale factors or offsets, no types but numbers and text. The sizes that a file announces are bounded
before memory is asked for them.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray as xr

DEEPEST = 2  # groups within groups
MOST_VARIABLES = 10_000
MOST_BYTES = 16e9  # of all arrays together
MOST_RATIO = 1000.0  # of arrays to the file; the compression of draws reaches 10
FREE = 1e8  # bytes of arrays that need no such ratio
KINDS = "fiubSUO"  # dtypes: numbers, flags and text; text of any length is O
RESCALING = ("scale_factor", "add_offset", "_Unsigned")  # attributes by which readers change values


class StorageError(Exception):
    """A file that holds no usable draws; the message says why."""


@dataclass(frozen=True)
class Arrays:
    """Arrays with named dimensions, labels included: one group of a posterior."""

    values: Mapping[str, NDArray[Any]]
    dims: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, dataset: "xr.Dataset") -> "Arrays":
        """Take the arrays of a Dataset."""
        names = [str(name) for name in dataset.variables]
        values = {name: dataset.variables[name].to_numpy() for name in names}
        return cls(values, {name: tuple(map(str, dataset.variables[name].dims)) for name in names})

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.values[name]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length of each dimension."""
        return {dim: size for name, dims in self.dims.items() for dim, size in zip(dims, self[name].shape, strict=True)}

    @property
    def names(self) -> list[str]:
        """Names of the arrays that are not labels of a dimension."""
        return [name for name, dims in self.dims.items() if dims != (name,)]

    def at(self, dim: str, label: object) -> "Arrays":
        """Return the arrays at one label of a dimension, without that dimension."""
        index = self.values[dim].tolist().index(label)
        values, kept = {}, {}
        for name, dims in self.dims.items():
            values[name] = np.take(self.values[name], index, axis=dims.index(dim)) if dim in dims else self.values[name]
            kept[name] = tuple(each for each in dims if each != dim)
        return Arrays(values, kept)

    def draws(self, name: str) -> NDArray[Any]:
        """Return an array with one axis for all draws, ``(draw, ...)``: one chain after the other."""
        values, dims = self.values[name], self.dims[name]
        ordered = np.moveaxis(values, [dims.index("chain"), dims.index("draw")], [0, 1])
        return ordered.reshape(-1, *ordered.shape[2:])


@dataclass(frozen=True)
class DrawsFile:
    """The contents of a file of draws, read once."""

    contents: bytes = field(repr=False)
    _kept: dict[str, Arrays] = field(default_factory=dict, compare=False, repr=False)

    def check(self) -> None:
        """Raise a `StorageError` if this is no such file, or holds what it must not."""
        with self._opened() as file:
            total = count = 0
            for place, variable in _variables(file, "", 0):
                count, total = count + 1, total + int(np.prod(variable.shape, dtype=float) * variable.dtype.itemsize)
                if count > MOST_VARIABLES:
                    raise StorageError(f"it has more than {MOST_VARIABLES:,} arrays")
                if total > MOST_BYTES or total > max(FREE, MOST_RATIO * len(self.contents)):
                    raise StorageError(
                        f"its arrays up to {place} would take {total:.3g} bytes of memory, in a file of "
                        f"{len(self.contents):,}"
                    )

    @classmethod
    def read(cls, path: Path) -> "DrawsFile":
        """Read the file at `path`; OSError if that fails."""
        return cls(path.read_bytes())

    @cached_property
    def sha256(self) -> str:
        """The hash of the contents."""
        return hashlib.sha256(self.contents).hexdigest()

    @cached_property
    def groups(self) -> list[str]:
        """The names of the groups."""
        with self._opened() as file:
            return [name for name in file if isinstance(file[name], h5py.Group)]

    def arrays(self, group: str) -> Arrays:
        """Return the arrays of a group; KeyError if there is no such group."""
        if group not in self._kept:
            self._kept[group] = self._arrays(group)
        return self._kept[group]

    def _arrays(self, group: str) -> Arrays:
        with self._opened() as file:
            values, dims = {}, {}
            members = {name: each for name, each in file[group].items() if isinstance(each, h5py.Dataset)}
            scales = {name: each for name, each in members.items() if _is_scale(each)}
            known = {int(each.attrs.get("_Netcdf4Dimid", -1)): name for name, each in scales.items()}
            for name, variable in members.items():
                if _is_bare_dimension(variable):
                    continue
                values[name] = _values(variable)
                dims[name] = _dims(name, variable, known)
            found = Arrays(values, dims)
            for name, each in values.items():
                if each.shape != tuple(found.sizes[dim] for dim in dims[name]):
                    raise StorageError(f"/{group}/{name} is not as long as other arrays along its dimensions")
            return found

    def tree(self) -> "xr.DataTree":
        """Return all groups as a DataTree."""
        import xarray as xr

        def loaded(group: str) -> xr.Dataset:
            return xr.load_dataset(BytesIO(self.contents), group=group, engine="h5netcdf")

        return xr.DataTree.from_dict({group: loaded(group) for group in self.groups})

    def _opened(self) -> h5py.File:
        try:
            return h5py.File(BytesIO(self.contents), "r")
        except OSError as error:
            raise StorageError(str(error)) from error


def _variables(group: h5py.Group, path: str, depth: int) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield all arrays below `group` with their places, and check each member."""
    if depth > DEEPEST:
        raise StorageError(f"groups lie deeper than {DEEPEST} levels, at {path}")
    for name in group:
        place = f"{path}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise StorageError(f"{place} is a link, and draws must lie in the file itself")
        member = group[name]
        if isinstance(member, h5py.Group):
            yield from _variables(member, place, depth + 1)
            continue
        if not isinstance(member, h5py.Dataset) or member.dtype.kind not in KINDS:
            raise StorageError(f"{place} is neither a group nor an array of numbers or text")
        if member.external or member.is_virtual:
            raise StorageError(f"{place} takes its values from another file, and draws must lie in the file itself")
        if changed := [each for each in RESCALING if each in member.attrs]:
            raise StorageError(f"{place} has the attribute {changed[0]}, which would change its values")
        yield place, member


def _values(variable: h5py.Dataset) -> NDArray[Any]:
    if h5py.check_string_dtype(variable.dtype) is not None:
        return np.asarray(variable.asstr()[...].astype(str))
    flags = variable.attrs.get("dtype", "") == "bool"  # as xarray stores them
    return np.asarray(variable[...].astype(bool) if flags else variable[...])


def _is_bare_dimension(variable: h5py.Dataset) -> bool:
    """True for what netCDF writes for a dimension without labels."""
    name = variable.attrs.get("NAME", b"")
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return text.startswith("This is a netCDF dimension but not a netCDF variable")


def _is_scale(variable: h5py.Dataset) -> bool:
    """True for the labels of a dimension, and for what stands for it where there are none."""
    return variable.attrs.get("CLASS", b"") == b"DIMENSION_SCALE" and variable.ndim == 1


def _dims(name: str, variable: h5py.Dataset, known: Mapping[int, str]) -> tuple[str, ...]:
    """Return the names of the dimensions, by the numbers that h5netcdf stores.

    The references of HDF5 to its dimension scales say the same, but HDF5 crashes on damaged ones.
    """
    if _is_scale(variable):
        return (name,)
    numbers = np.atleast_1d(variable.attrs.get("_Netcdf4Coordinates", [])).tolist()
    if len(numbers) != variable.ndim or not all(number in known for number in numbers):
        raise StorageError(f"{variable.name} has an axis without a name")
    return tuple(known[number] for number in numbers)
