"""The record of a posterior, ``info.json``: model, table, settings and checks of the fit."""

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bayes_atlas.catalogue import NameOrPath, find_posterior
from bayes_atlas.data.text import plural
from bayes_atlas.errors import InputError

SCHEMA: Final = 1
INFO = "info.json"


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
