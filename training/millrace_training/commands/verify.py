"""millrace-training verify"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..corpus import read_corpus
from ..engine_check import Engine, equal_texts, logit_difference
from ..errors import TrainingError
from ..models import load_model, vocabulary_beside
from .options import add_command, add_corpus

_PROMPTS = 10
_PROMPT_WORDS = 12
_DETAILS = """Logits of the first tokens of valid.txt are compared with the checkpoint's. With
--inflated: the greedy continuations of ten beginnings of paragraphs of valid.txt, by the file and
by its inflated form, token for token. Fails where either differs more than it may."""


def add(subparsers: Any) -> None:
    parser = add_command(
        subparsers,
        "verify",
        "compare an export with its checkpoint, through Millrace's engine",
        _DETAILS,
        "millrace-training verify --millrace .build/release/millrace --corpus tales"
        " --checkpoint runs/target/final.safetensors --gguf story.gguf",
    )
    add_corpus(parser)
    parser.add_argument("--millrace", type=Path, required=True, help="the program")
    parser.add_argument("--checkpoint", type=Path, required=True, help="what was exported")
    parser.add_argument("--gguf", type=Path, required=True, help="its export")
    parser.add_argument("--inflated", type=Path, help="an inflated export of it")
    parser.add_argument("--tokens", type=int, default=256, help="to compare, default %(default)s")
    parser.add_argument(
        "--limit",
        type=float,
        default=1e-3,
        help="largest difference of logits, as a share of their spread, default %(default)s",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    engine = Engine(options.millrace)
    model = load_model(options.checkpoint)
    vocabulary = vocabulary_beside(options.checkpoint)
    tales = read_corpus(options.corpus).validation_tales
    count = min(options.tokens, model.config.context)
    tokens = np.concatenate(vocabulary.encode_tales(tales))[:count].tolist()
    difference = logit_difference(engine, options.gguf, model, tokens)
    print(
        f"{options.gguf}: logits of {count} tokens differ by at most {difference:.2g} of their"
        " spread"
    )
    if options.inflated:
        equal = equal_texts(engine, options.gguf, options.inflated, _beginnings(tales), 48)
        print(f"{options.inflated}: {sum(equal)} of {len(equal)} texts of 48 tokens are the same")
        if not all(equal):
            raise TrainingError(
                "an inflated model tells another text",
                "inflate with --precision f16 or f32, where rounding cannot tip a close choice",
            )
    if difference > options.limit:
        raise TrainingError(
            f"the logits differ by more than {options.limit:g}",
            "allow for the rounding of quantized weights with --limit",
        )


def _beginnings(tales: list[str]) -> list[str]:
    """The first words of paragraphs from everywhere in the tales."""
    paragraphs = [line for tale in tales for line in tale.split("\n") if len(line.split()) > 3]
    chosen = paragraphs[:: max(1, len(paragraphs) // _PROMPTS)][:_PROMPTS]
    return [" ".join(paragraph.split()[:_PROMPT_WORDS]) for paragraph in chosen]
