"""millrace-training evaluate"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..agreement import measure_agreement
from ..baselines import ngram_bits_per_byte, primed_xz_bits_per_byte
from ..corpus import read_corpus
from ..models import TrainedModel, load_model, vocabulary_beside
from ..validation import Validator, loss_function
from ..vocabulary import Vocabulary
from .options import add_command, add_corpus

_DETAILS = """Bits per byte code the whole of valid.txt: begin-of-text, a tale, end-of-text, and so
on; each token is predicted from at least --context minus --stride tokens before it. With --draft:
how often draft and target choose the same token, and how much their distributions share. With
--baselines: xz -9e with the training text before it, and an interpolated Kneser-Ney model over the
same tokens."""


def add(subparsers: Any) -> None:
    parser = add_command(
        subparsers,
        "evaluate",
        "measure models on valid.txt",
        _DETAILS,
        "millrace-training evaluate --corpus tales --checkpoint runs/target/final.safetensors"
        " --baselines",
    )
    add_corpus(parser)
    parser.add_argument("--checkpoint", type=Path, required=True, help="the model, or the target")
    parser.add_argument(
        "--draft", type=Path, action="append", default=[], help="checkpoint; may be given again"
    )
    parser.add_argument("--context", type=int, default=1024, help="default %(default)s")
    parser.add_argument("--stride", type=int, default=512, help="default %(default)s")
    parser.add_argument(
        "--baselines", action="store_true", help="measure xz and the n-gram model, too"
    )
    parser.add_argument(
        "--order", type=int, default=5, help="of the n-gram model, default %(default)s"
    )
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    target = load_model(options.checkpoint)
    vocabulary = vocabulary_beside(options.checkpoint)
    corpus = read_corpus(options.corpus)
    tokens = np.concatenate(vocabulary.encode_tales(corpus.validation_tales))
    validator = Validator(tokens, corpus.validation_bytes, options.context, options.stride)
    results: dict[str, Any] = {"text_bytes": corpus.validation_bytes, "text_tokens": len(tokens)}
    results["model"] = _measure(target, validator, options.context)
    _show(str(target.path), results["model"])
    results["drafts"] = []
    for path in options.draft:
        draft = load_model(path)
        values = _measure(draft, validator, options.context)
        found = measure_agreement(target, draft, validator)
        values |= {
            "greedy": found.greedy,
            "overlap": found.overlap,
            "divergence_nats": found.divergence,
        }
        position = options.context // 2
        values["cost_ratio"] = draft.config.flops_per_token(
            position
        ) / target.config.flops_per_token(position)
        _show(str(path), values)
        results["drafts"].append({"path": str(path), **values})
    if options.baselines:
        results["baselines"] = _baselines(options, vocabulary)
        _show("baselines", results["baselines"])
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _measure(model: TrainedModel, validator: Validator, context: int) -> dict[str, float]:
    return {
        "bits_per_byte": validator.bits_per_byte(model.params, loss_function(model.config)),
        "parameters": model.config.parameters,
        "flops_per_token": model.config.flops_per_token(context // 2),
        "step": model.step,
    }


def _baselines(options: argparse.Namespace, vocabulary: Vocabulary) -> dict[str, float]:
    return {
        "xz_bits_per_byte": primed_xz_bits_per_byte(options.corpus),
        f"kneser_ney_{options.order}_bits_per_byte": ngram_bits_per_byte(
            options.corpus, vocabulary, options.order
        ),
    }


def _show(title: str, values: dict[str, float]) -> None:
    print(title)
    for name, value in values.items():
        print(f"  {name:28} {value:.4f}" if isinstance(value, float) else f"  {name:28} {value:,}")
