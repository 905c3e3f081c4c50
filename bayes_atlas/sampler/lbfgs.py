"""L-BFGS as one compiled loop, to find the start of the chains."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

type Potential = Callable[[jax.Array], jax.Array]
TRIALS = 150  # trials of a round
MEMORY = 30  # moves in memory
ENOUGH, SHORTER, SHORTEST = 1e-4, 0.3, 1e-12  # sufficient decrease, factor after a rejected trial, shortest trial
LONGEST = 10.0  # largest move of a coordinate in a trial
STILL = 1e-3  # largest component of the gradient, in standard units, at which the search stops


class _Search(NamedTuple):
    z: jax.Array
    value: jax.Array
    gradient: jax.Array
    direction: jax.Array
    length: jax.Array  # length of the next trial in this direction
    moves: jax.Array  # (memory, dimension) last moves, newest first
    turns: jax.Array  # (memory, dimension) change of the gradient in each move
    weight: jax.Array  # (memory,) 1 / (move . turn), 0 if there is no move
    trials: jax.Array


def minimise(function: Potential, start: jax.Array) -> jax.Array:
    """Minimise a well-scaled function by L-BFGS (Nocedal and Wright 2006, algorithm 7.5) with backtracking.

    The loop evaluates the gradient in one place only, because each place takes seconds to compile. Library
    implementations have several.
    """
    value_and_grad = jax.value_and_grad(function)

    def goes_on(now: _Search) -> jax.Array:
        return (now.trials < TRIALS) & (jnp.abs(now.gradient).max() > STILL) & (now.length > SHORTEST)

    def step(now: _Search) -> _Search:
        z = now.z + now.length * now.direction
        value, gradient = value_and_grad(z)
        first = now.trials == 0  # evaluates the start itself
        enough = value <= now.value + ENOUGH * now.length * now.gradient @ now.direction
        accepted = (first | enough) & jnp.isfinite(value) & jnp.isfinite(gradient).all()
        move, turn = z - now.z, gradient - now.gradient
        curved = accepted & ~first & (move @ turn > 0)
        moves, turns, weight = (
            jnp.where(curved, jnp.roll(old, 1, axis=0).at[0].set(new), old)
            for old, new in ((now.moves, move), (now.turns, turn), (now.weight, 1 / (move @ turn)))
        )
        direction = -_two_loops(gradient, moves, turns, weight)
        direction = direction / jnp.maximum(1.0, jnp.abs(direction).max() / LONGEST)
        return _Search(
            z=jnp.where(accepted, z, now.z),
            value=jnp.where(accepted, value, now.value),
            gradient=jnp.where(accepted, gradient, now.gradient),
            direction=jnp.where(accepted, direction, now.direction),
            length=jnp.where(accepted, 1.0, now.length * SHORTER),
            moves=moves,
            turns=turns,
            weight=weight,
            trials=now.trials + 1,
        )

    history = jnp.zeros((MEMORY, start.size), start.dtype)
    unknown, still = jnp.full((), jnp.inf, start.dtype), jnp.zeros_like(start)
    begun = _Search(
        z=start,
        value=unknown,
        gradient=jnp.full_like(start, jnp.inf),
        direction=still,
        length=jnp.ones((), start.dtype),
        moves=history,
        turns=history,
        weight=jnp.zeros(MEMORY, start.dtype),
        trials=jnp.zeros((), int),
    )
    return jax.lax.while_loop(goes_on, step, begun).z


def _two_loops(gradient: jax.Array, moves: jax.Array, turns: jax.Array, weight: jax.Array) -> jax.Array:
    """Return the product of the gradient and the inverse Hessian estimated from the last moves."""

    def down(q: jax.Array, pair: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        move, turn, weight = pair
        share = weight * (move @ q)
        return q - share * turn, share

    def up(r: jax.Array, pair: tuple[jax.Array, jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        move, turn, weight, share = pair
        return r + (share - weight * (turn @ r)) * move, None

    q, shares = jax.lax.scan(down, gradient, (moves, turns, weight))
    norm = turns[0] @ turns[0]
    scaled = q * jnp.where(weight[0] > 0, 1 / jnp.maximum(weight[0] * norm, 1e-300), 1.0)
    return jax.lax.scan(up, scaled, (moves, turns, weight, shares), reverse=True)[0]
