"""The optimizer: Muon for the matrices inside layers, Adam for the embedding and the norms.

Muon (Jordan et al. 2024) replaces each matrix's momentum by its nearest orthogonal matrix, found in
five Newton-Schulz steps, and scales it to a root mean square of 0.2 so that Adam's rates fit (Liu
et al. 2025, arXiv 2502.16982). optax has the same under `optax.contrib.muon`, over batched matrix
products that XLA's CPU backend runs at a tenth of the speed of these. Weight decay is decoupled and
leaves the norms alone. `adamw` (Loshchilov and Hutter 2019) is there for comparison.

The rate is no part of the state: each step gets its own from `schedule`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

OptimizerName = Literal["muon", "adamw"]
_UPDATE_RMS = 0.2
_MOMENTUM = 0.95
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5


@dataclass(frozen=True)
class OptimizerConfig:
    name: OptimizerName = "muon"
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    adam_rate_ratio: float = 0.6  # with Muon: Adam's rate over Muon's


class MuonState(NamedTuple):
    momentum: Any  # a tree like the matrices


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """Gives updates for a rate of 1; `apply` multiplies them by the step's rate."""
    adam = optax.adamw(1.0, b1=0.9, b2=0.95, weight_decay=config.weight_decay, mask=_is_matrix)
    clip = optax.clip_by_global_norm(config.clip_norm)
    if config.name == "adamw":
        return optax.chain(clip, adam)
    parts = {
        "muon": muon(config.weight_decay),
        "adam": optax.chain(adam, optax.scale(config.adam_rate_ratio)),
    }
    return optax.chain(clip, optax.partition(parts, _kinds))


def apply(params: Any, updates: Any, rate: jax.Array) -> Any:
    """params + rate * updates, leaf by leaf."""
    return jax.tree.map(lambda p, u: p + rate * u, params, updates)


def muon(weight_decay: float) -> optax.GradientTransformation:
    """Muon with Nesterov momentum for a tree of matrices, at a rate of 1."""

    def init(params: Any) -> MuonState:
        return MuonState(jax.tree.map(jnp.zeros_like, params))

    def update(gradients: Any, state: MuonState, params: Any) -> tuple[Any, MuonState]:
        momentum = jax.tree.map(lambda m, g: _MOMENTUM * m + g, state.momentum, gradients)

        def step(g: jax.Array, m: jax.Array, p: jax.Array) -> jax.Array:
            scale = _UPDATE_RMS * max(p.shape) ** 0.5
            return -(scale * orthogonalize(g + _MOMENTUM * m) + weight_decay * p)

        return jax.tree.map(step, gradients, momentum, params), MuonState(momentum)

    return optax.GradientTransformation(init, update)


def orthogonalize(matrix: jax.Array) -> jax.Array:
    """Brings all singular values of [m, n] near 1: X <- aX + (bA + cA^2)X with A = X X^T."""
    a, b, c = _NEWTON_SCHULZ
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (jnp.linalg.norm(x) + 1e-8)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * (square @ square)) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def _is_matrix(params: Any) -> Any:
    return jax.tree.map(lambda p: p.ndim >= 2, params)


def _kinds(params: Any) -> Any:
    """`muon` for every matrix but the embedding, `adam` for the rest."""

    def kind(path: tuple[Any, ...], leaf: jax.Array) -> str:
        of_embedding = any(getattr(key, "key", None) == "embedding" for key in path)
        return "muon" if leaf.ndim == 2 and not of_embedding else "adam"

    return jax.tree_util.tree_map_with_path(kind, params)
