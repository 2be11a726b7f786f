"""A trained model at the cost of a larger one: every shape grows, the function stays.

It exists so that speculation and batching can be measured with real text at real cost: an inflated
model says what the small one says, token for token, and takes the time of the large shape. It knows
nothing more.

    width       new channels are zero everywhere, so a norm divides by a root mean square that is
                sqrt(new / old) too small: its weights are scaled by sqrt(old / new), its epsilon by
                old / new
    layers      new ones have zero output projections: they add nothing
    FFN         new columns of gate and up and new rows of down are zero
    heads       new ones have zero projections; each old key-value head keeps its query heads
    vocabulary  new tokens must never win. Zero rows would: their logit of 0 is large where all
                others are negative. So one new channel carries a constant: every old token has
                GUARD there, too small to be seen in a norm, the last norm multiplies it by
                GUARD_GAIN, and every new token has -GUARD_ROW there: its logit is
                -GUARD * GUARD_GAIN * GUARD_ROW / rms, some hundreds below all others, while the old
                ones all rise by the same
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from .errors import TrainingError
from .model import ModelConfig, Params

GUARD = 2.0**-12
GUARD_GAIN = 2.0**15
GUARD_ROW = 1024.0


@dataclass(frozen=True)
class Shape:
    """What a model is inflated to; 0 keeps the model's own number."""

    layers: int = 0
    width: int = 0
    query_heads: int = 0
    kv_heads: int = 0
    ffn_width: int = 0
    vocabulary: int = 0


SHAPES = {
    "135m": Shape(
        layers=30, width=576, query_heads=9, kv_heads=3, ffn_width=1536, vocabulary=32_000
    ),
    "1b": Shape(
        layers=16, width=2048, query_heads=32, kv_heads=8, ffn_width=8192, vocabulary=128_256
    ),
}


def inflate(params: Params, config: ModelConfig, shape: Shape) -> tuple[Params, ModelConfig]:
    """Parameters (NumPy) and configuration of a model that computes the same as the given one."""
    new = _inflated_config(config, shape)
    ratio = np.float32((config.width / new.width) ** 0.5)
    layers = [_inflated_layer(layer, config, new, ratio) for layer in params["layers"]]
    layers.extend(_empty_layer(new) for _ in range(new.layers - config.layers))
    embedding = _padded(params["embedding"], (new.vocabulary, new.width))
    norm = _padded(np.asarray(params["norm"]) * ratio, (new.width,))
    if new.vocabulary > config.vocabulary:
        channel = config.width
        embedding[: config.vocabulary, channel] = GUARD
        embedding[config.vocabulary :, channel] = -GUARD_ROW
        norm[channel] = GUARD_GAIN
    return {"embedding": embedding, "layers": layers, "norm": norm}, new


def _inflated_config(config: ModelConfig, shape: Shape) -> ModelConfig:
    wanted = {name: value for name, value in dataclasses.asdict(shape).items() if value}
    for name, value in wanted.items():
        if value < getattr(config, name):
            raise TrainingError(
                f"{name} would shrink from {getattr(config, name)} to {value}",
                "choose a larger shape",
            )
    width = wanted.get("width", config.width)
    new = dataclasses.replace(
        config, **wanted, norm_epsilon=config.norm_epsilon * config.width / width
    )
    if new.query_heads // new.kv_heads < config.query_heads // config.kv_heads:
        raise TrainingError("a key-value head would lose query heads", "give more query heads")
    if new.vocabulary > config.vocabulary and new.width == config.width:
        raise TrainingError(
            "a larger vocabulary needs a wider model", "give a larger width, or keep the vocabulary"
        )
    return new


def _inflated_layer(layer: Params, old: ModelConfig, new: ModelConfig, ratio: np.float32) -> Params:
    h = old.head_size
    q = _head_columns(old, new)
    kv_width = old.kv_heads * h
    inflated = _empty_layer(new)
    inflated["attention_norm"][: old.width] = np.asarray(layer["attention_norm"]) * ratio
    inflated["ffn_norm"][: old.width] = np.asarray(layer["ffn_norm"]) * ratio
    inflated["q"][: old.width, q] = layer["q"]
    inflated["k"][: old.width, :kv_width] = layer["k"]
    inflated["v"][: old.width, :kv_width] = layer["v"]
    inflated["o"][q, : old.width] = layer["o"]
    inflated["gate"][: old.width, : old.ffn_width] = layer["gate"]
    inflated["up"][: old.width, : old.ffn_width] = layer["up"]
    inflated["down"][: old.ffn_width, : old.width] = layer["down"]
    return inflated


def _head_columns(old: ModelConfig, new: ModelConfig) -> np.ndarray:
    """Where each old query column goes: head g of key-value head k becomes head g of the new k."""
    old_group, new_group = old.query_heads // old.kv_heads, new.query_heads // new.kv_heads
    heads = [(head // old_group) * new_group + head % old_group for head in range(old.query_heads)]
    return np.concatenate(
        [np.arange(head * old.head_size, (head + 1) * old.head_size) for head in heads]
    )


def _empty_layer(config: ModelConfig) -> Params:
    """A layer of zeros: its output is its input. np.zeros takes memory only where it is written
    to."""
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
    norms = {"attention_norm": (d,), "ffn_norm": (d,)}
    return {name: np.zeros(shape, np.float32) for name, shape in (shapes | norms).items()}


def _padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape, np.float32)
    out[tuple(slice(0, n) for n in np.shape(array))] = array
    return out
