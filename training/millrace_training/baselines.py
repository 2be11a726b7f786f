"""What the storyteller has to beat: a dictionary compressor and an n-gram model, on the same
bytes."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np

from .corpus import read_corpus, training_text
from .kneser_ney import KneserNey
from .vocabulary import Vocabulary

# xz -9e --lzma2=dict=64MiB,nice=273
_FILTERS = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": 64 << 20,
        "nice_len": 273,
    },
]


def primed_xz_bits_per_byte(folder: Path) -> float:
    """What valid.txt adds to the compressed training text, in bits a byte of valid.txt."""
    train = training_text(folder)
    valid = (folder / "valid.txt").read_bytes()
    added = _xz_size(train + valid) - _xz_size(train)
    return 8 * added / len(valid)


def ngram_bits_per_byte(folder: Path, vocabulary: Vocabulary, order: int) -> float:
    """Interpolated modified Kneser-Ney over the same tokens, trained on the training tales."""
    corpus = read_corpus(folder)
    train = np.concatenate(vocabulary.encode_tales(corpus.training_tales))
    valid = np.concatenate(vocabulary.encode_tales(corpus.validation_tales))
    return KneserNey(train, len(vocabulary), order).bits_of(valid) / corpus.validation_bytes


def _xz_size(data: bytes) -> int:
    return len(lzma.compress(data, format=lzma.FORMAT_XZ, filters=_FILTERS))
