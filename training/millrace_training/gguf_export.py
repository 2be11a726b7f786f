"""Writing a model as GGUF, for Millrace and llama.cpp.

The architecture is `llama`, the embedding is tied (no output.weight) and matrices are stored
[out, in], row by row. GGUF's rotary pairs are dimensions (2i, 2i + 1) of a head where ours are
(i, i + h/2), so the rows of q and k are reordered. Norms stay F32; matrices and the embedding
become F32, F16 or Q8_0 (blocks of 32: one F16 scale, 32 int8). The vocabulary is stated as
SentencePiece's (`tokenizer.ggml.model = llama`), with scores and token types.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import gguf
import numpy as np

from .errors import TrainingError
from .model import ModelConfig, Params
from .vocabulary import BEGIN, END, UNKNOWN, Vocabulary

Precision = Literal["f32", "f16", "q8_0"]
_TYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
_BLOCK = 32


def export_gguf(
    params: Params,
    config: ModelConfig,
    vocabulary: Vocabulary,
    precision: Precision,
    name: str,
    out: Path,
) -> None:
    """Writes a model file; a half-written one never stands under `out`."""
    kind, file_type = _TYPES[precision]
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    writer = gguf.GGUFWriter(partial, "llama")
    writer.add_name(name)
    writer.add_file_type(file_type)
    _add_shape(writer, config)
    _add_vocabulary(writer, vocabulary, config.vocabulary)
    for tensor_name, tensor in gguf_tensors(params, config):
        own = kind if tensor.ndim == 2 else gguf.GGMLQuantizationType.F32
        if own == gguf.GGMLQuantizationType.Q8_0 and tensor.shape[1] % _BLOCK:
            raise TrainingError(
                f"{tensor_name} has rows of {tensor.shape[1]}", "Q8_0 needs a multiple of 32"
            )
        data = gguf.quants.quantize(np.ascontiguousarray(tensor, np.float32), own)
        writer.add_tensor(tensor_name, data, raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(out)


def gguf_tensors(params: Params, config: ModelConfig) -> Iterator[tuple[str, np.ndarray]]:
    """Names and float32 values in GGUF's layout: vectors, or matrices [out, in]."""
    yield "token_embd.weight", np.asarray(params["embedding"])
    yield "output_norm.weight", np.asarray(params["norm"])
    names = {
        "v": "attn_v",
        "o": "attn_output",
        "gate": "ffn_gate",
        "up": "ffn_up",
        "down": "ffn_down",
    }
    for index, layer in enumerate(params["layers"]):
        root = f"blk.{index}."
        yield root + "attn_norm.weight", np.asarray(layer["attention_norm"])
        yield root + "ffn_norm.weight", np.asarray(layer["ffn_norm"])
        yield root + "attn_q.weight", paired_rows(np.asarray(layer["q"]).T, config.head_size)
        yield root + "attn_k.weight", paired_rows(np.asarray(layer["k"]).T, config.head_size)
        for ours, theirs in names.items():
            yield f"{root}{theirs}.weight", np.asarray(layer[ours]).T


def paired_rows(matrix: np.ndarray, head_size: int) -> np.ndarray:
    """Reorders each head's rows from (i, i + h/2) to (2i, 2i + 1). matrix: [heads * h, in]."""
    halves = matrix.reshape(-1, 2, head_size // 2, matrix.shape[1])
    return halves.swapaxes(1, 2).reshape(matrix.shape)


def _add_shape(writer: gguf.GGUFWriter, config: ModelConfig) -> None:
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.ffn_width)
    writer.add_head_count(config.query_heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_key_length(config.head_size)
    writer.add_value_length(config.head_size)
    writer.add_rope_dimension_count(config.head_size)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_vocab_size(config.vocabulary)


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary, size: int) -> None:
    """The pieces, then unused ones up to the model's vocabulary."""
    processor = vocabulary.processor
    pieces, scores, types = [], [], []
    for token in range(len(vocabulary)):
        pieces.append(processor.id_to_piece(token).encode())
        scores.append(processor.get_score(token))
        types.append(_token_type(processor, token))
    for token in range(len(vocabulary), size):
        pieces.append(f"<unused{token}>".encode())
        scores.append(-1e6)
        types.append(gguf.TokenType.UNUSED)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(BEGIN)
    writer.add_eos_token_id(END)
    writer.add_unk_token_id(UNKNOWN)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)


def _token_type(processor, token: int) -> gguf.TokenType:
    if processor.is_unknown(token):
        return gguf.TokenType.UNKNOWN
    if processor.is_control(token):
        return gguf.TokenType.CONTROL
    if processor.is_byte(token):
        return gguf.TokenType.BYTE
    return gguf.TokenType.NORMAL
