"""millrace-training grow"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..grow import grow_checkpoint
from .options import add_command


def add(subparsers: Any) -> None:
    parser = add_command(
        subparsers,
        "grow",
        "add layers to a model in training",
        "The grown model computes the same until it is trained on: give the file to train --start.",
        "millrace-training grow --checkpoint runs/shallow/stable.safetensors --layers 6"
        " --out runs/grown.safetensors",
    )
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="stable.safetensors of a run"
    )
    parser.add_argument("--layers", type=int, required=True, help="layers of the grown model")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    config = grow_checkpoint(options.checkpoint, options.layers, options.out)
    print(f"{options.out}: {config.model.layers} layers, {config.model.parameters:,} parameters")
