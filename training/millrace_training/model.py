"""A Llama model in JAX: RMSNorm, RoPE, grouped-query attention, SwiGLU, tied embeddings.

Shapes: B sequences, T positions, D width, H query heads, K key-value heads, h head size, F FFN
width, V vocabulary. Matrices are [in, out] and multiply from the right; all values are float32.

Each query and key head is kept in Hugging Face's rotary layout (dimension i turns with i + h/2).
GGUF wants pairs (2i, 2i + 1): `export` reorders the rows. Source: Touvron et al. 2023 (Llama),
Su et al. 2021 (RoPE), Ainslie et al. 2023 (GQA), Shazeer 2020 (SwiGLU).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from . import attention
from .errors import TrainingError

Params = dict[str, Any]


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model; everything else about it is fixed by the Llama architecture."""

    width: int = 256
    layers: int = 6
    query_heads: int = 4
    kv_heads: int = 2
    head_size: int = 64
    ffn_width: int = 704
    vocabulary: int = 4096
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5
    context: int = 1024

    def __post_init__(self) -> None:
        if self.query_heads % self.kv_heads:
            raise TrainingError(
                f"{self.query_heads} query heads over {self.kv_heads} key-value heads",
                "make --query-heads a multiple of --kv-heads",
            )
        if self.head_size % 2:
            raise TrainingError(
                f"head size {self.head_size} is odd", "RoPE needs an even --head-size"
            )

    @property
    def parameters(self) -> int:
        """Every parameter, the tied embedding counted once."""
        attention = self.width * self.head_size * (2 * self.query_heads + 2 * self.kv_heads)
        layer = attention + 3 * self.width * self.ffn_width + 2 * self.width
        return self.vocabulary * self.width + self.layers * layer + self.width

    def flops_per_token(self, position: int) -> int:
        """Multiply-adds times two of one forward pass of one token that attends to `position`
        tokens."""
        norms = (2 * self.layers + 1) * self.width
        attention = 4 * self.layers * self.query_heads * self.head_size * position
        return 2 * (self.parameters - norms) + attention

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def initial_params(config: ModelConfig, key: jax.Array) -> Params:
    """Normal weights of deviation 0.02 (embedding) and 1/sqrt(in) (matrices); both output
    projections of a layer begin at zero, so that every layer begins as the identity."""
    d, f = config.width, config.ffn_width
    q, kv = config.query_heads * config.head_size, config.kv_heads * config.head_size
    shapes = {
        "q": (d, q),
        "k": (d, kv),
        "v": (d, kv),
        "o": (q, d),
        "gate": (d, f),
        "up": (d, f),
        "down": (f, d),
    }
    embedding_key, *layer_keys = jax.random.split(key, config.layers + 1)
    layers = []
    for layer_key in layer_keys:
        keys = jax.random.split(layer_key, len(shapes))
        layer: Params = {"attention_norm": jnp.ones(d), "ffn_norm": jnp.ones(d)}
        for (name, shape), k in zip(shapes.items(), keys, strict=True):
            scale = 0.0 if name in ("o", "down") else shape[0] ** -0.5
            layer[name] = scale * jax.random.normal(k, shape, jnp.float32)
        layers.append(layer)
    embedding = 0.02 * jax.random.normal(embedding_key, (config.vocabulary, d), jnp.float32)
    return {"embedding": embedding, "layers": layers, "norm": jnp.ones(d)}


def rms_norm(x: jax.Array, weight: jax.Array, epsilon: float) -> jax.Array:
    """x / sqrt(mean(x^2) + epsilon) * weight, over the last axis."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


def rope_tables(config: ModelConfig, length: int) -> tuple[jax.Array, jax.Array]:
    """cos and sin of position times frequency, each [T, h/2]."""
    frequency = config.rope_base ** (-jnp.arange(0, config.head_size, 2) / config.head_size)
    angle = jnp.arange(length)[:, None] * frequency[None, :]
    return jnp.cos(angle), jnp.sin(angle)


def rotate(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Turns dimension i with i + h/2. x: [B, T, heads, h]; tables: [T, h/2]."""
    a, b = jnp.split(x, 2, axis=-1)
    c, s = cos[None, :, None, :], sin[None, :, None, :]
    return jnp.concatenate([a * c - b * s, b * c + a * s], axis=-1)


def _layer(
    layer: Params,
    x: jax.Array,
    cos: jax.Array,
    sin: jax.Array,
    config: ModelConfig,
    with_scores: bool,
):
    """One block; returns its output [B, T, D] and its attention scores, if asked for.

    Products run over rows [B * T, D]: XLA's CPU backend takes half as long again for the gradients
    of products over [B, T, D].
    """
    b, t, d = x.shape
    rows = x.reshape(b * t, d)
    normed = rms_norm(rows, layer["attention_norm"], config.norm_epsilon)
    q = rotate((normed @ layer["q"]).reshape(b, t, config.query_heads, config.head_size), cos, sin)
    k = rotate((normed @ layer["k"]).reshape(b, t, config.kv_heads, config.head_size), cos, sin)
    v = (normed @ layer["v"]).reshape(b, t, config.kv_heads, config.head_size)
    q = q * config.head_size**-0.5
    rows = rows + attention.attend(q, k, v).reshape(b * t, -1) @ layer["o"]
    normed = rms_norm(rows, layer["ffn_norm"], config.norm_epsilon)
    gated = jax.nn.silu(normed @ layer["gate"]) * (normed @ layer["up"])
    rows = rows + gated @ layer["down"]
    return rows.reshape(b, t, d), attention.scores(q, k) if with_scores else None


class Trace(NamedTuple):
    """What a forward pass shows of itself, for distillation."""

    logits: jax.Array  # [B, T, V]
    hidden: tuple[jax.Array, ...]  # each layer's output, [B, T, D]
    scores: tuple[jax.Array | None, ...]  # each layer's masked attention scores, [B, K, H/K, T, T]


def trace(
    params: Params,
    tokens: jax.Array,
    config: ModelConfig,
    remat: bool = False,
    with_scores: bool = False,
) -> Trace:
    """Runs the model on token ids [B, T] and keeps each layer's output and, if asked for, its
    scores.

    With `remat`, each layer's inner values are computed again in the backward pass instead of
    kept (gradient checkpointing, Chen et al. 2016): less memory for about a third more work.
    """
    cos, sin = rope_tables(config, tokens.shape[1])
    block = partial(_layer, config=config, with_scores=with_scores)
    if remat:
        block = jax.checkpoint(block)
    x = params["embedding"][tokens]
    hidden, scores = [], []
    for layer in params["layers"]:
        x, s = block(layer, x, cos, sin)
        hidden.append(x)
        scores.append(s)
    rows = rms_norm(x.reshape(-1, config.width), params["norm"], config.norm_epsilon)
    logits = (rows @ params["embedding"].T).reshape(*tokens.shape, config.vocabulary)
    return Trace(logits, tuple(hidden), tuple(scores))


def logits(
    params: Params, tokens: jax.Array, config: ModelConfig, remat: bool = False
) -> jax.Array:
    """Logits [B, T, V] of token ids [B, T]."""
    return trace(params, tokens, config, remat).logits
