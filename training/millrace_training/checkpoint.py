"""Checkpoints: one safetensors file a checkpoint, replaced atomically.

The file holds every array of a tree (parameters and optimizer state) under its path in the tree;
the header's metadata entry `state` holds what is no array (step, position, configuration) as JSON.
A checkpoint is written beside its place, flushed to the disk and renamed, so a kill leaves the old
one or the new one, never a part.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .errors import TrainingError

FORMAT = "millrace-training-1"


def save_checkpoint(path: Path, tree: Any, state: dict[str, Any]) -> None:
    """Writes a tree of arrays and a JSON-able state."""
    arrays = {
        jax.tree_util.keystr(p): np.array(a, order="C")
        for p, a in jax.tree_util.tree_leaves_with_path(tree)
    }
    data = save(arrays, metadata={"format": FORMAT, "state": json.dumps(state)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_state(path: Path) -> dict[str, Any]:
    """The JSON state of a checkpoint."""
    with _open(path) as file:
        return json.loads(file.metadata()["state"])


def load_checkpoint(path: Path, like: Any) -> Any:
    """Reads a tree shaped like `like`, which may be a part of what the checkpoint holds."""
    with _open(path) as file:
        known = set(file.keys())

        def restore(key_path: tuple[Any, ...], leaf: Any) -> jax.Array:
            name = jax.tree_util.keystr(key_path)
            if name not in known:
                raise TrainingError(
                    f"{path} has no array {name}", "use the options the run was started with"
                )
            array = file.get_tensor(name)
            if array.shape != leaf.shape:
                raise TrainingError(
                    f"{path}: {name} is {array.shape}, not {leaf.shape}",
                    "use the options the run was started with",
                )
            return jax.numpy.asarray(array)

        return jax.tree_util.tree_map_with_path(restore, like)


def _open(path: Path) -> Any:
    if not path.is_file():
        raise TrainingError(f"no checkpoint at {path}", "train first, or correct the path")
    try:
        file = safe_open(str(path), framework="numpy")
    except SafetensorError as error:
        raise TrainingError(
            f"{path} is damaged: {error}", "go back to an older checkpoint"
        ) from error
    if (file.metadata() or {}).get("format") != FORMAT:
        raise TrainingError(
            f"{path} is no checkpoint of this package", "give a file that train or distill wrote"
        )
    return file
