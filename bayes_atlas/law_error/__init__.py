"""Model error of a scaling law: how the law may be wrong, learned from runs, and carried into every decision.

A law such as E + A / N^alpha + B / D^beta is wrong in two ways that real tables share, and both matter for decisions.

*Exponents run.* A local exponent is the law's constant times exp(v), where v is a random walk in log size (or log
tokens, or log languages) with standard deviation `kappa` per square root of an e-fold.

*The two terms are not additive.* Reducible loss is (x^q + y^q)^(1/q) with x = A / N^alpha and y = B / D^beta. At q = 1
the law is additive. Real tables have q > 1: size matters less while data are short, and data less while size is short
(compare the joint forms of Videau et al. 2026).

`learning` finds what the runs of a posterior say about both, `learned` draws laws that are wrong in this way, and
`population` holds what public tables say about `kappa` and q of a table that has not been seen. The walks are pinned at
the centre of the runs, where the law's own parameters take up their level and slope (Kennedy & O'Hagan 2001;
Brynjarsdottir & O'Hagan 2014: a discrepancy helps extrapolation only with an informative prior).

A decision needs the loss of the wrong law (`Bend.loss`) and, where it follows slopes, a law with the same slopes at one
plan (`Bend.with_slopes`): slopes of a term are proportional to its coefficient, so another coefficient gives any slope.
"""
