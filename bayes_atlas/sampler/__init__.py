"""The sampling driver: NUTS on a whitened posterior, as one compiled program per model and shape of data.

A model is a NumPyro function of covariates and a loss. The driver flattens its parameters to one vector, of *globals*
and of *locals* by language (`layout`). A metric maps this vector to near a standard normal, so that one step size
serves all directions.

1. `start` finds the mode, with an EM step for the pooling scales in each round. The curvature at the mode is the first
   metric.
2. Warm-up has `PHASES` phases. After each but the last, the draws of all chains together update the metric, with
   shrinkage towards the previous metric that depends on their number (`metric`). Languages are independent given the
   globals, so the metric has one block per language. A few draws estimate it as well in four thousand dimensions as in
   six. Pooled parameters are non-centred as far as the runs are uninformative about them (`centring`).
3. Chains, and data sets of one shape, are mapped over the devices in blocks of draws (`program`). After each block the
   driver reports progress and writes a checkpoint (`checkpoint`). Data, metric and keys are arguments of the compiled
   program.
4. If chains diverge, sampling is repeated, first with smaller steps, then with reversed centring (`driver`).
"""
