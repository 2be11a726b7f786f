"""millrace-training inflate"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from ..gguf_export import export_gguf
from ..inflation import SHAPES, Shape, inflate
from ..models import load_model, vocabulary_beside
from ..vocabulary import Vocabulary
from .options import add_command

_DETAILS = """The result says what the model says, token for token, and costs what the larger shape
costs: real text at real cost, to measure speculation and batching with. It knows nothing more than
the model."""


def add(subparsers: Any) -> None:
    parser = add_command(
        subparsers,
        "inflate",
        "expand a model to the cost of a larger one, text unchanged",
        _DETAILS,
        "millrace-training inflate --checkpoint runs/target/final.safetensors --shape 135m"
        " --gguf big.gguf",
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="of train or distill")
    parser.add_argument(
        "--tokenizer", type=Path, help="default: tokenizer.model beside the checkpoint"
    )
    parser.add_argument("--shape", choices=sorted(SHAPES), help="a known shape")
    for field in dataclasses.fields(Shape):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=int, help="instead of the shape's number"
        )
    parser.add_argument(
        "--keep-vocabulary", action="store_true", help="do not add unreachable tokens"
    )
    parser.add_argument("--gguf", type=Path, required=True, help="file to write")
    parser.add_argument(
        "--precision", choices=("f32", "f16", "q8_0"), default="q8_0", help="default %(default)s"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    model = load_model(options.checkpoint)
    vocabulary = (
        Vocabulary(options.tokenizer)
        if options.tokenizer
        else vocabulary_beside(options.checkpoint)
    )
    shape = SHAPES[options.shape] if options.shape else Shape()
    given = {
        f.name: getattr(options, f.name)
        for f in dataclasses.fields(Shape)
        if getattr(options, f.name)
    }
    shape = dataclasses.replace(shape, **given)
    if options.keep_vocabulary:
        shape = dataclasses.replace(shape, vocabulary=0)
    params, config = inflate(model.params, model.config, shape)
    name = f"Millrace Storyteller inflated to {config.parameters // 1_000_000}M"
    export_gguf(params, config, vocabulary, options.precision, name, options.gguf)
    print(
        f"{options.gguf}: {config.parameters:,} parameters for {model.config.parameters:,},"
        " the same text"
    )
