"""millrace-training import"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..gguf_import import import_gguf
from ..vocabulary import Vocabulary
from .options import add_command


def add(subparsers: Any) -> None:
    parser = add_command(
        subparsers,
        "import",
        "read an exported GGUF back, to train it on",
        "Writes a checkpoint with the file's weights at step 0: give it to train --start, or to"
        " distill\n--teacher with tokenizer.model beside it.",
        "millrace-training import --gguf models/storyteller-q8_0.gguf"
        " --tokenizer runs/tokenizer.model --out runs/shipped.safetensors",
    )
    parser.add_argument("--gguf", type=Path, required=True, help="a file that export wrote")
    parser.add_argument("--tokenizer", type=Path, required=True, help="from the tokenizer command")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    config = import_gguf(options.gguf, Vocabulary(options.tokenizer), options.out)
    print(f"{options.out}: {config.model.layers} layers, {config.model.parameters:,} parameters")
