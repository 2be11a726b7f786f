"""Writes a GGUF model of random weights, for measuring speed.

Random weights run as fast as trained ones; the text they make is noise. Two shapes: `135m`, that of
SmolLM-135M with a vocabulary of 32,000, and `1b`, that of Llama 3.2 1B.

    python make_model.py --shape 135m --type q8_0 --out model.gguf
"""

import argparse
import dataclasses
import pathlib

import gguf
import numpy as np


@dataclasses.dataclass(frozen=True)
class Shape:
    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    head_width: int = 64
    context: int = 4096
    rope_base: float = 10_000.0


SHAPES = {
    "135m": Shape(30, 576, 9, 3, 1536, 32_000),
    "1b": Shape(16, 2048, 32, 8, 8192, 128_256, rope_base=500_000.0),
}

TYPES = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "bf16": gguf.GGMLQuantizationType.BF16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
    "q4_k": gguf.GGMLQuantizationType.Q4_K,
}


def matrices(shape):
    """Names and [rows, columns] of all matrices; the embedding is the output as well."""
    width, kv_width = shape.width, shape.kv_heads * shape.head_width
    yield "token_embd.weight", (shape.vocabulary, width)
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        yield prefix + "attn_q.weight", (shape.heads * shape.head_width, width)
        yield prefix + "attn_k.weight", (kv_width, width)
        yield prefix + "attn_v.weight", (kv_width, width)
        yield prefix + "attn_output.weight", (width, shape.heads * shape.head_width)
        yield prefix + "ffn_gate.weight", (shape.feed_forward, width)
        yield prefix + "ffn_up.weight", (shape.feed_forward, width)
        yield prefix + "ffn_down.weight", (width, shape.feed_forward)


def random_matrix(size, kind, random):
    """A matrix's stored form and its type."""
    if kind is gguf.GGMLQuantizationType.Q4_K:
        if size[1] % 256 == 0:
            return random_q4_k(size, random), kind
        # As llama.cpp does with rows that are no whole number of blocks.
        kind = gguf.GGMLQuantizationType.Q5_0
    values = random.standard_normal(size, dtype=np.float32) * np.float32(0.02)
    return gguf.quantize(values, kind), kind


def random_q4_k(size, random):
    """Blocks of 256 weights: a scale, one for the minima, and random bits, about 0 on average."""
    blocks = random.integers(0, 256, (size[0], size[1] // 256, 144), dtype=np.uint8)
    scales = np.array([1.36e-4, 1.02e-3], dtype=np.float16)
    blocks[:, :, :4] = scales.view(np.uint8)
    return blocks.reshape(size[0], -1)


def norms(shape):
    for layer in range(shape.layers):
        yield f"blk.{layer}.attn_norm.weight"
        yield f"blk.{layer}.ffn_norm.weight"
    yield "output_norm.weight"


def add_vocabulary(writer, size):
    """Control tokens, the 256 bytes, and as many made-up words as are left."""
    control = ["<unk>", "<s>", "</s>"]
    tokens = control + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * 2
    types += [gguf.TokenType.BYTE] * 256
    words = size - len(tokens)
    tokens += [f"▁w{index}" for index in range(words)]
    types += [gguf.TokenType.NORMAL] * words
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(index) for index in range(size)])
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)


def write(path, shape, kind, seed):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(f"random weights, {shape.layers} layers of {shape.width}")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)
    add_vocabulary(writer, shape.vocabulary)
    random = np.random.default_rng(seed)
    for name, size in matrices(shape):
        values, stored = random_matrix(size, TYPES[kind], random)
        writer.add_tensor(name, values, raw_dtype=stored)
    for name in norms(shape):
        writer.add_tensor(name, np.ones(shape.width, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--type", choices=TYPES, required=True, dest="kind")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    # Under another name until it is whole.
    partial = options.out.with_suffix(".partial")
    write(partial, SHAPES[options.shape], options.kind, options.seed)
    partial.replace(options.out)


if __name__ == "__main__":
    main()
