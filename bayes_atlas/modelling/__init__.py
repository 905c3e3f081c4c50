"""The vocabulary of model files, and the contract that a model file keeps.

A model file is a Python file that the engine finds by name or path (`bayes_atlas.catalogue.read_model`). It is executed
when it is loaded. It defines

1. a docstring, whose first line is the title that ``bayes-atlas list`` shows;
2. ``LAW = "<name>"``, a law of `bayes_atlas.laws`;
3. a plain function ``model(covariate, .., loss=None)``.

The function's arguments:

4. The last is what the model observes, None where it is to be drawn. The others are covariates, found by their names:
   those of `bayes_atlas.data.covariates`, any column of numbers of the table, and the layout of its table, ``curves``,
   ``pairs`` or ``crossings``, which says to which kind of table the model is fitted (`bayes_atlas.observations.kind`).
5. Sizes and tokens arrive divided by reference scales. A covariate that says nothing, such as unique tokens where no
   data repeat, arrives as None. One with the default None is optional: ``tau_prior`` is there where a fit was given it.

The function's sites:

6. Every parameter of the law is sampled or deterministic under its own name, in a plate ``language``.
7. Plates are called ``language``, ``source``, ``run`` and ``size``; they become dims of the draws. Members of the plate
   ``language`` are blocks of the sampler's metric: independent of each other given the rest.
8. A pooled site is made by `pooled`, or declares its population by ``infer=pooled_from(location, scale)``.
9. A scale of noise is declared by ``infer=NOISE_SCALE``. `observe` does that, under the name ``sigma``; predictions of
   rows that were held out know ``sigma``, ``kappa_stage``, ``kappa_epochs`` and ``size_effect`` by their names.
10. One site is observed, in a plate ``run`` (``dyad`` for scores); its log density by member is the pointwise log
    likelihood. It is called ``log_<quantity>`` where it is the logarithm of one. A distribution with a method
    ``weight`` says how much each run counts.

It may also define

11. ``IMPUTED``, names and dims of what a function ``impute(key, *covariates, observed, sites)`` draws after the fit.
"""
