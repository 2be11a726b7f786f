"""millrace-training tokenizer"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..corpus import read_corpus
from ..vocabulary import train_vocabulary
from .options import add_command, add_corpus


def add(subparsers: Any) -> None:
    parser = add_command(
        subparsers,
        "tokenizer",
        "train the byte-fallback BPE vocabulary",
        "Deterministic: the same corpus and size give the same file. Validation text is not read.",
        "millrace-training tokenizer --corpus tales --size 4096 --out runs/tokenizer.model",
    )
    add_corpus(parser)
    parser.add_argument(
        "--size",
        type=int,
        default=4096,
        help="pieces, bytes and specials included; default %(default)s",
    )
    parser.add_argument("--out", type=Path, required=True, help="SentencePiece model to write")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    corpus = read_corpus(options.corpus)
    vocabulary = train_vocabulary(corpus.training_tales, options.size, options.out)
    tokens = sum(len(t) for t in vocabulary.encode_tales(corpus.training_tales))
    size = sum(len(t.encode()) for t in corpus.training_tales)
    print(
        f"{options.out}: {len(vocabulary)} pieces; {tokens:,} training tokens,"
        f" {size / tokens:.3f} bytes a token"
    )
