"""GGUF and the Hugging Face layout say what the model says."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_reference import ReferenceModel
from safetensors.numpy import load_file
from test_model import random_params, run
from tokenizers import Tokenizer

from millrace_training.gguf_export import export_gguf
from millrace_training.hugging_face_export import export_hugging_face
from millrace_training.inflation import Shape, inflate

TEXTS = ["Once upon a time.", "The king  wept,\n\nand 42 geese sang.", 'Zwölf "Räder" – ¿qué?', ""]


def _exported(params, config, vocabulary, precision, folder: Path) -> ReferenceModel:
    path = folder / "model.gguf"
    export_gguf(params, config, vocabulary, precision, "test", path)
    assert not list(folder.glob("*.partial"))
    return ReferenceModel(path)


@pytest.mark.parametrize(("precision", "tolerance"), [("f32", 1e-5), ("f16", 1e-3), ("q8_0", 2e-2)])
def test_gguf_logits_equal_ours(precision, tolerance, tiny, vocabulary, tmp_path: Path) -> None:
    params = random_params(tiny)
    tokens = [1, 40, 300, 7, 7, 399, 260, 300, 41]
    ours = run(params, np.array([tokens]), tiny)[0]
    theirs = _exported(params, tiny, vocabulary, precision, tmp_path).logits(tokens)
    assert np.abs(ours - theirs).max() <= tolerance * (ours.max() - ours.min())


def test_an_inflated_gguf_chooses_the_same_tokens(tiny, vocabulary, tmp_path: Path) -> None:
    params = random_params(tiny)
    shape = Shape(layers=3, width=96, query_heads=8, kv_heads=2, ffn_width=128, vocabulary=512)
    large, config = inflate(params, tiny, shape)
    tokens = [1, 40, 300, 7, 7, 399, 260, 300, 41]
    ours = run(params, np.array([tokens]), tiny)[0]
    theirs = _exported(large, config, vocabulary, "f16", tmp_path).logits(tokens)
    assert theirs.shape == (len(tokens), 512)
    np.testing.assert_array_equal(theirs.argmax(-1), ours.argmax(-1))


def test_the_vocabulary_is_stated(tiny, vocabulary, tmp_path: Path) -> None:
    fields = _exported(random_params(tiny), tiny, vocabulary, "f16", tmp_path).fields
    assert fields["tokenizer.ggml.model"] == "llama"
    assert fields["tokenizer.ggml.tokens"][:4] == ["<unk>", "<s>", "</s>", "<0x00>"]
    types = fields["tokenizer.ggml.token_type"]
    assert types[:3] == [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    assert set(types[3:259]) == {gguf.TokenType.BYTE} and set(types[259:]) == {
        gguf.TokenType.NORMAL
    }
    scores = fields["tokenizer.ggml.scores"]
    assert scores[259:] == sorted(scores[259:], reverse=True) and len(scores) == tiny.vocabulary
    assert fields["tokenizer.ggml.add_bos_token"] and fields["tokenizer.ggml.eos_token_id"] == 2


def test_hugging_face_layout(tiny, vocabulary, tmp_path: Path) -> None:
    params = random_params(tiny)
    export_hugging_face(params, tiny, vocabulary, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(
        tensors["model.layers.1.self_attn.k_proj.weight"], params["layers"][1]["k"].T
    )
    assert sum(t.size for t in tensors.values()) == tiny.parameters
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["tie_word_embeddings"] and config["num_key_value_heads"] == tiny.kv_heads


def test_tokenizer_json_splits_as_we_do(tiny, vocabulary, tmp_path: Path) -> None:
    export_hugging_face(random_params(tiny), tiny, vocabulary, tmp_path)
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in TEXTS[:3]:
        assert theirs.encode(text).ids == [1, *vocabulary.encode(text)]
        assert theirs.decode(theirs.encode(text).ids) == text
