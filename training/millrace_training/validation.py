"""Bits per byte on held-out tales.

The held-out file is coded whole: begin-of-text, a tale, end-of-text, and so on for every tale;
every token but the very first counts, ends of tales too, and the sum is divided by the bytes of the
file.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import numpy as np

from .data import evaluation_windows
from .losses import token_losses
from .model import ModelConfig, Params, logits

WINDOWS_A_BATCH = 4


class Validator:
    """Measures models on one text. `context` and `stride`: see `evaluation_windows`."""

    def __init__(self, tokens: np.ndarray, text_bytes: int, context: int, stride: int) -> None:
        self.text_bytes = text_bytes
        self.windows = evaluation_windows(tokens, context, stride)
        self.context = context

    def batches(self):
        """Inputs [W, context], targets [W, context] and weights (1 where a target counts, else
        0)."""
        for first in range(0, len(self.windows), WINDOWS_A_BATCH):
            inputs = np.zeros((WINDOWS_A_BATCH, self.context), np.int32)
            targets, weights = inputs.copy(), np.zeros(inputs.shape, np.float32)
            for row, (window, skip) in enumerate(self.windows[first : first + WINDOWS_A_BATCH]):
                n = len(window) - 1
                inputs[row, :n], targets[row, :n] = window[:-1], window[1:]
                weights[row, skip:n] = 1
            yield inputs, targets, weights

    def bits_per_byte(self, params: Params, losses: Callable) -> float:
        """`losses(params, inputs, targets)` gives nats [W, context]; see `loss_function`."""
        nats = 0.0
        for inputs, targets, weights in self.batches():
            nats += float((np.asarray(losses(params, inputs, targets), np.float64) * weights).sum())
        return nats / math.log(2) / self.text_bytes


def loss_function(config: ModelConfig) -> Callable:
    """Compiled losses of each position, [W, context]."""

    def losses(params: Params, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        return token_losses(logits(params, inputs, config), targets)

    return jax.jit(losses)
