"""Writing a model in the Hugging Face layout: model.safetensors, config.json, tokenizer.json.

Matrices become [out, in]; q and k keep their rows, for that layout turns (i, i + h/2) as we do.
tokenizer.json states the same BPE as merges: a pair merges if its join is a piece, in the order of
the pieces' ids, which is the order SentencePiece learned them in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from .model import ModelConfig, Params
from .vocabulary import BEGIN, END, UNKNOWN, Vocabulary


def export_hugging_face(
    params: Params, config: ModelConfig, vocabulary: Vocabulary, folder: Path
) -> None:
    """Writes the three files, tokenizer_config.json and generation_config.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(hugging_face_tensors(params), folder / "model.safetensors", metadata={"format": "pt"})
    _write(folder / "config.json", hugging_face_config(config))
    _write(folder / "tokenizer.json", hugging_face_tokenizer(vocabulary))
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_bos_token": True,
            "add_eos_token": False,
            **special,
        },
    )
    _write(folder / "generation_config.json", {"bos_token_id": BEGIN, "eos_token_id": END})


def hugging_face_tensors(params: Params) -> dict[str, np.ndarray]:
    """Tensors by name, float32; the output matrix is the embedding and is not stored twice."""
    tensors = {
        "model.embed_tokens.weight": np.asarray(params["embedding"]),
        "model.norm.weight": np.asarray(params["norm"]),
    }
    for index, layer in enumerate(params["layers"]):
        root = f"model.layers.{index}."
        tensors[root + "input_layernorm.weight"] = np.asarray(layer["attention_norm"])
        tensors[root + "post_attention_layernorm.weight"] = np.asarray(layer["ffn_norm"])
        for name in ("q", "k", "v", "o"):
            tensors[f"{root}self_attn.{name}_proj.weight"] = np.ascontiguousarray(
                np.asarray(layer[name]).T
            )
        for name in ("gate", "up", "down"):
            tensors[f"{root}mlp.{name}_proj.weight"] = np.ascontiguousarray(
                np.asarray(layer[name]).T
            )
    return tensors


def hugging_face_config(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": BEGIN,
        "eos_token_id": END,
        "head_dim": config.head_size,
        "hidden_act": "silu",
        "hidden_size": config.width,
        "initializer_range": 0.02,
        "intermediate_size": config.ffn_width,
        "max_position_embeddings": config.context,
        "mlp_bias": False,
        "num_attention_heads": config.query_heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": config.kv_heads,
        "rms_norm_eps": config.norm_epsilon,
        "rope_scaling": None,
        "rope_theta": config.rope_base,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": config.vocabulary,
    }


def hugging_face_tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
    """tokenizer.json of the `tokenizers` library (model BPE with byte fallback)."""
    processor = vocabulary.processor
    pieces = [processor.id_to_piece(token) for token in range(len(vocabulary))]
    special = [
        {
            "id": i,
            "content": pieces[i],
            "special": True,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
        for i in (UNKNOWN, BEGIN, END)
    ]
    begin = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                begin,
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [BEGIN], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece: token for token, piece in enumerate(pieces)},
            "merges": _merges(pieces),
        },
    }


def _merges(pieces: list[str]) -> list[list[str]]:
    """Every way to join two pieces into a third, earliest result first, then earliest left part."""
    ids = {piece: token for token, piece in enumerate(pieces)}
    merges = []
    for token, piece in enumerate(pieces):
        if token < 259 or len(piece) < 2:
            continue
        pairs = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        known = [(ids[a], ids[b], a, b) for a, b in pairs if a in ids and b in ids]
        merges.extend([a, b] for _, _, a, b in sorted(known))
    return merges


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
