"""Growing a model in the middle of its training: more layers, the same function.

A shallow model learns the first millions of tokens almost as well as a deep one, at a fraction of
the price. Growing at the peak rate and training on gives the deep model what the shallow one knows
(Gong et al. 2019, progressive stacking; Chen et al. 2016, Net2Net). Each new layer follows an old
one and copies it, but for zero output projections, so it adds nothing until it has learned; its
optimizer state is 0.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from .checkpoint import load_checkpoint, read_state, save_checkpoint
from .errors import TrainingError
from .train import TrainConfig, initial_tree, train_config

_LAYER = re.compile(r"\['layers'\]\[(\d+)\]")
_OUTPUTS = ("['o']", "['down']")


def layer_sources(old: int, new: int) -> list[tuple[int, bool]]:
    """For each layer of the grown model, the old layer it comes from and whether it is new."""
    places = []
    for layer in range(old):
        copies = new // old + (1 if layer < new % old else 0)
        places.extend((layer, copy > 0) for copy in range(copies))
    return places


def grow_checkpoint(source: Path, layers: int, out: Path) -> TrainConfig:
    """Writes a stable checkpoint of the same step and data position with `layers` layers."""
    state = read_state(source)
    if not state["stable"]:
        raise TrainingError(f"{source} is past its stable phase", "grow stable.safetensors")
    old = train_config(state["config"])
    if layers <= old.model.layers:
        raise TrainingError(
            f"the model has {old.model.layers} layers", "give --layers a larger number"
        )
    new = old.with_layers(layers)
    tree = grow_tree(
        load_checkpoint(source, initial_tree(old)), initial_tree(new), old.model.layers, layers
    )
    save_checkpoint(out, tree, {**state, "config": new.as_dict()})
    return new


def grow_tree(old_tree: Any, like: Any, old_layers: int, layers: int) -> Any:
    """Fills the tree `like` (parameters and optimizer state) from a shallower one."""
    known = {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(old_tree)
    }
    sources = layer_sources(old_layers, layers)

    def fill(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path)
        match = _LAYER.search(name)
        if not match:
            return known[name]
        origin, is_new = sources[int(match.group(1))]
        copied = known[f"{name[: match.start()]}['layers'][{origin}]{name[match.end() :]}"]
        if is_new and (not name.startswith("['params']") or name.endswith(_OUTPUTS)):
            return jnp.zeros_like(leaf)
        return copied

    return jax.tree_util.tree_map_with_path(fill, like)
