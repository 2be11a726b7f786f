"""The byte-fallback BPE tokenizer: trained here, read by Millrace as `tokenizer.ggml.model =
llama`.

SentencePiece BPE (Sennrich et al. 2016; Kudo and Richardson 2018) with Llama's settings: a space is
"▁", text gets a leading "▁", digits stand alone, what no piece covers falls back to bytes. Ids 0, 1
and 2 are unknown, begin-of-text and end-of-text; 3...258 are the bytes. Newlines are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import sentencepiece as spm

from .errors import TrainingError

UNKNOWN, BEGIN, END = 0, 1, 2
FIRST_BYTE = 3


class Vocabulary:
    """A trained tokenizer."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise TrainingError(f"no tokenizer at {path}", "make one: millrace-training tokenizer")
        self.path = path
        self.processor = spm.SentencePieceProcessor(model_file=str(path))

    def __len__(self) -> int:
        return self.processor.get_piece_size()

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without begin-of-text."""
        return self.processor.encode(text)

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of token ids; begin-of-text and end-of-text vanish."""
        return self.processor.decode([int(t) for t in tokens])

    def encode_tales(self, tales: Iterable[str]) -> list[np.ndarray]:
        """Each tale as begin-of-text, its tokens, end-of-text (uint16)."""
        encoded = self.processor.encode(list(tales))
        return [np.array([BEGIN, *ids, END], dtype=np.uint16) for ids in encoded]


def train_vocabulary(tales: Iterable[str], size: int, out: Path) -> Vocabulary:
    """Trains a BPE vocabulary of exactly `size` pieces and writes it to `out`.

    The trainer is deterministic: the same tales and size give the same file.
    """
    if size < FIRST_BYTE + 256 + 40:
        raise TrainingError(f"a vocabulary of {size} is too small", "give --size 320 or more")
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = (line for tale in tales for line in tale.split("\n") if line)
    prefix = out.with_suffix("")
    try:
        spm.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_prefix=str(prefix),
            model_type="bpe",
            vocab_size=size,
            byte_fallback=True,
            split_digits=True,
            character_coverage=0.9999,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=True,
            max_sentence_length=1 << 16,
            unk_id=UNKNOWN,
            bos_id=BEGIN,
            eos_id=END,
            pad_id=-1,
            num_threads=2,
            minloglevel=1,
        )
    except RuntimeError as error:
        raise TrainingError(
            f"the trainer refused: {error}", "use a smaller --size or more text"
        ) from error
    prefix.with_suffix(".model").replace(out)
    prefix.with_suffix(".vocab").unlink(missing_ok=True)
    return Vocabulary(out)
