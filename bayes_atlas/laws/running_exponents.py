"""Errors of a law: exponents that run, and two terms that are not additive.

An exponent e becomes e exp(v), where v is a random walk in the log of size, data or languages. Its standard deviation
is `kappa` per square root of an e-fold. Reducible loss becomes (x^q + y^q)^(1/q), where x is the law's loss due to
finite size and y that due to finite data. `bayes_atlas.law_error` has the derivation. Another joint
form that is not additive is that of Kaplan et al. 2020 (arXiv 2001.08361).
"""

COVARIATES = ()  # errors belong to a law on a table, not to a run
PARAMETERS = {
    "kappa": "standard deviation of the walk of a log exponent, per square root of an e-fold",
    "log_q": "log of the exponent that joins the two terms; 0 for an additive law",
}
