"""The sampling driver: NUTS on a whitened posterior, as one compiled program per model and shape of data.

A model is a NumPyro function of covariates and a loss. All of it is flattened to one vector, of *globals* and of
*locals* by language (`layout`), and a metric makes that near a standard normal, so that one step size serves all
directions.

1. `start` finds the mode, pooling scales by an EM step each round, and takes the curvature there as the first metric.
2. Warm-up has `PHASES` phases; after each but the last the metric is estimated anew from the draws of all chains
   together, shrunk towards what it was as far as their number warrants (`metric`). Languages are independent given the
   globals, so it has a block for each and is estimated alike from a few draws in six dimensions and in four thousand.
   What is pooled is sampled apart from its population's scale, as far as the runs leave it to that (`centring`).
3. Chains, and data sets of one shape, are mapped over the devices in blocks of draws (`program`), so that progress can
   be shown and a checkpoint written (`checkpoint`). Data, metric and keys are arguments of the compiled program.
4. Where chains diverge, sampling is done again: more carefully, then with other centring (`driver`).
"""
