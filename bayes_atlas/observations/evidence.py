"""The evidence table as a model sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayes_atlas.arrays import Array
from bayes_atlas.data.law_evidence import read_evidence
from bayes_atlas.data.selection import Selection
from bayes_atlas.errors import InputError
from bayes_atlas.folder.info import Staleness
from bayes_atlas.observations.kind import NO_CURVES, Covariates, Dims, Unpadded, no_selection


class Evidence(NamedTuple):
    """What tables show about the errors of their law. A JAX pytree."""

    log_kappa: Array  # (kappa,) ascending
    log_evidence: Array  # (table, kappa)
    error: Array  # (table,) standard error of log q


@dataclass(frozen=True)
class EvidenceData(Unpadded):
    """The `Observations` of an evidence table; its tables take the place of languages."""

    covariates: Covariates  # `evidence`
    log_q: np.ndarray  # (table,)
    coords: dict[str, list[str]]  # language
    references: dict[str, dict[str, float]]
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def languages(self) -> list[str]:
        """Names of the tables."""
        return self.coords["language"]

    @property
    def rows(self) -> int:
        """Number of tables."""
        return len(self.log_q)

    @property
    def units(self) -> int:
        """Number of tables."""
        return self.rows

    def padded(self, shape: None) -> tuple[Covariates, np.ndarray]:
        """Return evidence and estimates as they are."""
        return self.covariates, self.log_q

    def probe(self) -> dict[str, Any]:
        """Return the fields of `Staleness` from which `made_up` makes a table like this one."""
        return NO_CURVES

    def stored(self, log_likelihood: np.ndarray) -> tuple[dict[str, Any], Dims]:
        """Return the groups of a stored posterior that describe single tables, and the dims of their variables."""
        evidence = self.covariates["evidence"]
        assert isinstance(evidence, Evidence)
        groups = {
            "log_likelihood": {"log_q_estimate": log_likelihood},
            "observed_data": {"log_q": self.log_q},
            "constant_data": {name: np.asarray(values) for name, values in evidence._asdict().items()},
        }
        return groups, {
            "log_q_estimate": ["language"],
            "log_q": ["language"],
            "log_kappa": ["kappa_given"],
            "log_evidence": ["language", "kappa_given"],
            "error": ["language"],
        }


class EvidenceTable:
    """The kind ``evidence``: what tables show about the errors of their law."""

    name = "evidence"
    variable = "evidence"
    reader = "read_evidence"
    in_table_units = False

    def read(self, path: Path, traits: Path | None = None) -> xr.Dataset:
        """`read_evidence`, which has no traits."""
        if traits is not None:
            raise InputError(f"--traits is for score tables, and {path.name} is an evidence table; leave it out")
        return read_evidence(path)

    def arrange(self, table: xr.Dataset, wanted: Sequence[str], selection: Selection) -> EvidenceData:
        """Arrange all tables. The estimate of log q and its error are those over all kappas, by their evidence."""
        no_selection(table, selection)
        names = table["table"].to_numpy().tolist()
        log_evidence = table["evidence"].to_numpy()
        above = log_evidence - log_evidence.max(axis=1, keepdims=True)
        weight = np.exp(above) / np.exp(above).sum(axis=1, keepdims=True)
        log_q, error = table["log_q"].to_numpy(), table["error"].to_numpy()
        mean = (weight * log_q).sum(axis=1)
        apart = log_q - mean[:, None]
        evidence = Evidence(
            log_kappa=np.log(table["kappa"].to_numpy()),
            log_evidence=above,
            error=np.sqrt((weight * (error**2 + apart**2)).sum(axis=1)),
        )
        return EvidenceData(
            covariates={"evidence": evidence},
            log_q=mean,
            coords={"language": names},
            references={name: {} for name in names},
        )

    def restore(
        self, constant: xr.Dataset, observed: xr.Dataset, given: Mapping[str, bool]
    ) -> tuple[Covariates, np.ndarray]:
        """Return evidence and estimates of a stored posterior."""
        evidence = Evidence(**{name: constant[name].to_numpy() for name in Evidence._fields})
        return {"evidence": evidence}, observed["log_q"].to_numpy().astype(float)

    def made_up(self, shape: Staleness, languages: int, seed: int) -> tuple[Covariates, np.ndarray]:
        """Return evidence of so many tables, the same for every seed."""
        rng = np.random.default_rng(0)
        log_kappa = np.log(np.geomspace(0.01, 0.64, 7))
        peaks = np.log(0.2) + 0.3 * rng.normal(size=(languages, 1))
        evidence = Evidence(log_kappa, -((log_kappa - peaks) ** 2), np.full(languages, 0.1))
        return {"evidence": evidence}, 0.4 + 0.3 * rng.normal(size=languages)


KIND = EvidenceTable()
