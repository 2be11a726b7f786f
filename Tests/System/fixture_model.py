"""A small Llama model with random weights: the same bytes each time it is made."""

import gguf
import numpy

WIDTH = 64
LAYERS = 3
HEADS = 8
KEY_VALUE_HEADS = 4
HEAD_WIDTH = WIDTH // HEADS
FEED_FORWARD = 160
VOCABULARY = 512
CONTEXT = 512


def pieces():
    """A byte-fallback SentencePiece vocabulary: specials, bytes, letters, pairs."""
    kinds = gguf.TokenType
    found = [
        ("<unk>", 0.0, kinds.UNKNOWN),
        ("<s>", 0.0, kinds.CONTROL),
        ("</s>", 0.0, kinds.CONTROL),
    ]
    found += [(f"<0x{byte:02X}>", 0.0, kinds.BYTE) for byte in range(256)]
    letters = "etaoinshrdlucmfwygpbvkxqjzTHELOAS.,!?'\"-"
    singles = ["\u2581", *letters]
    pairs = [a + b for a in singles[:25] for b in singles[1:16] if a != b]
    texts = list(dict.fromkeys(pairs))[: VOCABULARY - len(found) - len(singles)]
    for rank, text in enumerate(texts + singles):
        found.append((text, -float(rank + 1), kinds.NORMAL))
    assert len(found) == VOCABULARY
    return found


def few_pieces():
    """A vocabulary of six tokens: specials and three letters."""
    kinds = gguf.TokenType
    letters = [(letter, -1.0, kinds.NORMAL) for letter in "abc"]
    return [
        ("<unk>", 0.0, kinds.UNKNOWN),
        ("<s>", 0.0, kinds.CONTROL),
        ("</s>", 0.0, kinds.CONTROL),
        *letters,
    ]


def write(path, seed=20_260_101, vocabulary=None, layers=LAYERS):
    """Writes the model as GGUF, with float32 weights; with all pieces unless told."""
    random = numpy.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("random test model")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_rope_dimension_count(HEAD_WIDTH)
    writer.add_layer_norm_rms_eps(1e-5)
    vocabulary = vocabulary or pieces()
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _, _ in vocabulary])
    writer.add_token_scores([score for _, score, _ in vocabulary])
    writer.add_token_types([kind for _, _, kind in vocabulary])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)

    def add(name, *shape, scale):
        values = random.standard_normal(shape, dtype=numpy.float32) * numpy.float32(scale)
        writer.add_tensor(f"{name}.weight", values)

    def add_ones(name):
        writer.add_tensor(f"{name}.weight", numpy.ones(WIDTH, dtype=numpy.float32))

    key_value_width = KEY_VALUE_HEADS * HEAD_WIDTH
    add("token_embd", len(vocabulary), WIDTH, scale=1)
    for layer in range(layers):
        block = f"blk.{layer}"
        add_ones(f"{block}.attn_norm")
        add(f"{block}.attn_q", WIDTH, WIDTH, scale=0.2)
        add(f"{block}.attn_k", key_value_width, WIDTH, scale=0.2)
        add(f"{block}.attn_v", key_value_width, WIDTH, scale=0.2)
        add(f"{block}.attn_output", WIDTH, WIDTH, scale=0.2)
        add_ones(f"{block}.ffn_norm")
        add(f"{block}.ffn_gate", FEED_FORWARD, WIDTH, scale=0.2)
        add(f"{block}.ffn_up", FEED_FORWARD, WIDTH, scale=0.2)
        add(f"{block}.ffn_down", WIDTH, FEED_FORWARD, scale=0.2)
    add_ones("output_norm")
    add("output", len(vocabulary), WIDTH, scale=0.3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
