"""How well a draft speaks for its target, which decides what speculation gains (Leviathan et al.
2023).

Greedy agreement is the share of positions where both have the same most likely token: what greedy
speculation accepts. Overlap is the mean of sum over tokens of min(p, q): the chance that a token
drawn from the draft is accepted when sampling at temperature 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from .model import logits
from .models import TrainedModel
from .validation import Validator


@dataclass(frozen=True)
class Agreement:
    greedy: float
    overlap: float
    divergence: float  # KL(target || draft), nats a token
    positions: int


def measure_agreement(target: TrainedModel, draft: TrainedModel, validator: Validator) -> Agreement:
    """Compares both at every counted position of a held-out text, each given the true text
    before."""

    @jax.jit
    def compare(target_params, draft_params, inputs, weights):
        p = jax.nn.log_softmax(logits(target_params, inputs, target.config), axis=-1)
        q = jax.nn.log_softmax(logits(draft_params, inputs, draft.config), axis=-1)
        equal = jnp.argmax(p, axis=-1) == jnp.argmax(q, axis=-1)
        overlap = jnp.sum(jnp.minimum(jnp.exp(p), jnp.exp(q)), axis=-1)
        divergence = jnp.sum(jnp.exp(p) * (p - q), axis=-1)
        return jnp.stack(
            [jnp.sum(v * weights) for v in (equal, overlap, divergence, jnp.ones_like(weights))]
        )

    sums = np.zeros(4)
    for inputs, _, weights in tqdm(list(validator.batches()), desc="agreement", unit="batch"):
        sums += np.asarray(compare(target.params, draft.params, inputs, weights), np.float64)
    greedy, overlap, divergence = sums[:3] / sums[3]
    return Agreement(float(greedy), float(overlap), float(divergence), int(sums[3]))
