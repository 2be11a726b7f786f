"""Reading a model that `export` wrote back from its GGUF file, to train it further.

What ships is then enough to go on from: the file's weights (dequantized; Q8_0 loses well under a
percent of the logits' spread) with a fresh optimizer state, at step 0 of a run that `train --start`
takes over. The vocabulary is not read: the tokenizer's trainer is deterministic, and its pieces are
compared.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gguf
import jax.numpy as jnp
import numpy as np

from .checkpoint import save_checkpoint
from .errors import TrainingError
from .model import ModelConfig, Params
from .optimizer import make_optimizer
from .train import TrainConfig
from .vocabulary import Vocabulary

_MATRICES = {
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def import_gguf(source: Path, vocabulary: Vocabulary, out: Path) -> TrainConfig:
    """Writes a stable checkpoint of step 0 with the file's weights."""
    fields, tensors = _read(source)
    try:
        config = _config(fields)
        params = _params(tensors, config)
        pieces = fields["tokenizer.ggml.tokens"]
    except KeyError as error:
        raise TrainingError(
            f"{source} has no {error.args[0]}", "give a file that export wrote"
        ) from error
    own = [vocabulary.processor.id_to_piece(i) for i in range(len(vocabulary))]
    if pieces[: len(own)] != own:
        raise TrainingError(
            f"{source} was trained with another tokenizer",
            "make it from the same corpus and size with millrace-training tokenizer",
        )
    training = dataclasses.replace(TrainConfig(), model=config)
    tree = {"params": params, "optimizer": make_optimizer(training.optimizer).init(params)}
    state = {"step": 0, "position": 0, "stable": True, "config": training.as_dict()}
    save_checkpoint(out, tree, state)
    return training


def _read(source: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not source.is_file():
        raise TrainingError(f"no model at {source}", "correct the path")
    try:
        reader = gguf.GGUFReader(source)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        tensors = {
            t.name: np.asarray(gguf.quants.dequantize(t.data, t.tensor_type), np.float32)
            for t in reader.tensors
        }
    except (ValueError, KeyError, IndexError) as error:
        raise TrainingError(
            f"{source} is no readable GGUF file: {error}", "give a file that export wrote"
        ) from error
    return fields, tensors


def _config(fields: dict[str, Any]) -> ModelConfig:
    return ModelConfig(
        width=fields["llama.embedding_length"],
        layers=fields["llama.block_count"],
        query_heads=fields["llama.attention.head_count"],
        kv_heads=fields["llama.attention.head_count_kv"],
        head_size=fields["llama.attention.key_length"],
        ffn_width=fields["llama.feed_forward_length"],
        vocabulary=fields["llama.vocab_size"],
        rope_base=fields["llama.rope.freq_base"],
        norm_epsilon=round(fields["llama.attention.layer_norm_rms_epsilon"], 9),
        context=fields["llama.context_length"],
    )


def _params(tensors: dict[str, np.ndarray], config: ModelConfig) -> Params:
    layers = []
    for index in range(config.layers):
        root = f"blk.{index}."
        layer = {name: tensors[f"{root}{own}.weight"].T for name, own in _MATRICES.items()}
        for name in ("q", "k"):
            layer[name] = halved_rows(tensors[f"{root}attn_{name}.weight"], config.head_size).T
        layer["attention_norm"] = tensors[root + "attn_norm.weight"]
        layer["ffn_norm"] = tensors[root + "ffn_norm.weight"]
        layers.append({name: jnp.asarray(value) for name, value in layer.items()})
    return {
        "embedding": jnp.asarray(tensors["token_embd.weight"]),
        "layers": layers,
        "norm": jnp.asarray(tensors["output_norm.weight"]),
    }


def halved_rows(matrix: np.ndarray, head_size: int) -> np.ndarray:
    """The reverse of `gguf_export.paired_rows`: each head's rows from (2i, 2i + 1) to
    (i, i + h/2)."""
    pairs = matrix.reshape(-1, head_size // 2, 2, matrix.shape[1])
    return pairs.swapaxes(1, 2).reshape(matrix.shape)
