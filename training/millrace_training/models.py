"""Loading a trained model from a checkpoint of `train`, `grow` or `distill`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax

from .checkpoint import load_checkpoint, read_state
from .errors import TrainingError
from .model import ModelConfig, Params, initial_params
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class TrainedModel:
    """A model as a checkpoint holds it. Both kinds of run keep it under `params`."""

    path: Path
    config: ModelConfig
    params: Params
    step: int


def load_model(path: Path) -> TrainedModel:
    """Reads the parameters of a checkpoint, without its optimizer state."""
    state = read_state(path)
    config = ModelConfig(**state["config"]["model"])
    like = {"params": jax.eval_shape(lambda key: initial_params(config, key), jax.random.key(0))}
    return TrainedModel(path, config, load_checkpoint(path, like)["params"], state["step"])


def vocabulary_beside(checkpoint: Path) -> Vocabulary:
    """The tokenizer in a checkpoint's run folder."""
    path = checkpoint.parent / "tokenizer.model"
    if not path.is_file():
        raise TrainingError(f"no tokenizer.model beside {checkpoint}", "give --tokenizer")
    return Vocabulary(path)
