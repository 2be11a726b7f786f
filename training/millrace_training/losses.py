"""Losses of language modelling, in nats a token, averaged over every position."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean of -log softmax(logits)[target]. logits [B, T, V], targets [B, T]."""
    return jnp.mean(token_losses(logits, targets))


def token_losses(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """-log softmax(logits)[target] of each position, [B, T]."""
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen
