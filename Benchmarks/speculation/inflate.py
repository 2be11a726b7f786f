"""Inflates the bundled storyteller to the shape of Llama 3.2 1B: the same text at the cost of a model
two hundred times as large.

    python inflate.py --model models/storyteller-q8_0.gguf --out storyteller-1b-q8_0.gguf

The model's weights lie in corners of larger matrices whose other weights are zero; ten of the sixteen
layers add nothing. Norms divide by a width eight times as large, so their weights are divided by the
square root of eight, and epsilon by eight. The vocabulary stays as it is. Needs heads of 64, at most 8
key-value heads with at most 4 query heads each, and Q8_0 throughout.
"""

import argparse
import pathlib

import gguf
import numpy as np

LAYERS, WIDTH, HEADS, KV_HEADS, HEAD_WIDTH, FEED_FORWARD = 16, 2048, 32, 8, 64, 8192
BLOCK = 32
BLOCK_BYTES = 34


def blocks(rows, columns):
    """An all-zero Q8_0 matrix, [rows, blocks, bytes]."""
    return np.zeros((rows, columns // BLOCK, BLOCK_BYTES), dtype=np.uint8)


class Model:
    def __init__(self, path):
        self.reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        self.layers = self.number("llama.block_count")
        self.width = self.number("llama.embedding_length")
        self.heads = self.number("llama.attention.head_count")
        self.kv_heads = self.number("llama.attention.head_count_kv")
        self.epsilon = self.number("llama.attention.layer_norm_rms_epsilon")

    def number(self, key):
        return self.reader.fields[key].contents()

    def matrix(self, name):
        tensor = self.tensors[name]
        if tensor.tensor_type is not gguf.GGMLQuantizationType.Q8_0:
            raise SystemExit(f"{name} is {tensor.tensor_type.name}; give a model that is Q8_0 throughout")
        return np.asarray(tensor.data).reshape(tensor.data.shape[0], -1, BLOCK_BYTES)

    def vector(self, name):
        return np.asarray(self.tensors[name].data, dtype=np.float32)

    def head_rows(self, count, kv_count):
        """The rows of a projection to `count` heads, where they go in the large one."""
        group, large = count // kv_count, (HEADS // KV_HEADS if count != kv_count else 1)
        heads = [head // group * large + head % group for head in range(count)]
        return np.concatenate([np.arange(head * HEAD_WIDTH, (head + 1) * HEAD_WIDTH) for head in heads])


def place(matrix, rows, columns, at_rows=None, at_blocks=None):
    """A small matrix in the corner of a large one, or at the rows and blocks given."""
    large = blocks(rows, columns)
    at_rows = np.arange(matrix.shape[0]) if at_rows is None else at_rows
    at_blocks = np.arange(matrix.shape[1]) if at_blocks is None else at_blocks
    large[np.ix_(at_rows, at_blocks)] = matrix
    return large


def norm(weights, share):
    """The weights of a norm over a width of which `share` is not zero."""
    large = np.zeros(WIDTH, dtype=np.float32)
    large[: len(weights)] = weights * np.float32(np.sqrt(share))
    return large


def tensors(model):
    share = model.width / WIDTH
    vocabulary = model.matrix("token_embd.weight").shape[0]
    yield "token_embd.weight", place(model.matrix("token_embd.weight"), vocabulary, WIDTH)
    yield "output_norm.weight", norm(model.vector("output_norm.weight"), share)
    if "output.weight" in model.tensors:
        yield "output.weight", place(model.matrix("output.weight"), vocabulary, WIDTH)
    queries = model.head_rows(model.heads, model.kv_heads)
    keys = model.head_rows(model.kv_heads, model.kv_heads)
    sizes = {
        "attn_q": (HEADS * HEAD_WIDTH, WIDTH, queries, None),
        "attn_k": (KV_HEADS * HEAD_WIDTH, WIDTH, keys, None),
        "attn_v": (KV_HEADS * HEAD_WIDTH, WIDTH, keys, None),
        "attn_output": (WIDTH, HEADS * HEAD_WIDTH, None, queries[::BLOCK] // BLOCK),
        "ffn_gate": (FEED_FORWARD, WIDTH, None, None),
        "ffn_up": (FEED_FORWARD, WIDTH, None, None),
        "ffn_down": (WIDTH, FEED_FORWARD, None, None),
    }
    for layer in range(LAYERS):
        prefix = f"blk.{layer}."
        exists = layer < model.layers
        for name in ("attn_norm", "ffn_norm"):
            weights = model.vector(f"{prefix}{name}.weight") if exists else np.zeros(0, np.float32)
            yield f"{prefix}{name}.weight", norm(weights, share)
        for name, (rows, columns, at_rows, at_blocks) in sizes.items():
            small = model.matrix(f"{prefix}{name}.weight") if exists else np.zeros((0, 0, BLOCK_BYTES), np.uint8)
            given = (at_rows, at_blocks) if exists else (None, None)
            yield f"{prefix}{name}.weight", place(small, rows, columns, *given)


def write(model, path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("storyteller, inflated to the shape of Llama 3.2 1B")
    writer.add_context_length(model.number("llama.context_length"))
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_WIDTH)
    writer.add_rope_freq_base(model.number("llama.rope.freq_base"))
    writer.add_layer_norm_rms_eps(model.epsilon * model.width / WIDTH)
    for key, field in model.reader.fields.items():
        if key.startswith("tokenizer.") or key == "llama.vocab_size":
            kinds = field.types
            sub_type = kinds[-1] if kinds[0] is gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kinds[0], sub_type=sub_type)
    for name, values in tensors(model):
        if values.ndim == 3:
            writer.add_tensor(
                name, values.reshape(values.shape[0], -1), raw_dtype=gguf.GGMLQuantizationType.Q8_0
            )
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    # Under another name until it is whole.
    partial = options.out.with_suffix(".partial")
    write(Model(options.model), partial)
    partial.replace(options.out)


if __name__ == "__main__":
    main()
