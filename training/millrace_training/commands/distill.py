"""millrace-training distill"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..distill import DRAFT, DistillConfig, distill
from ..distillation_losses import KINDS, LossWeights
from .options import (
    add_batches,
    add_cadence,
    add_command,
    add_corpus,
    add_model,
    add_schedule,
    cadence,
    model_config,
    schedule,
)

_DETAILS = """Kinds: response (the teacher's distribution), feature (and its hidden states),
attention (and its maps), online (teacher and draft learn together), none (the text alone: the
baseline). The run folder works as in train: killed and started again, it goes on exactly."""


def add(subparsers: Any) -> None:
    defaults = DistillConfig()
    parser = add_command(
        subparsers,
        "distill",
        "train a draft from a trained model",
        _DETAILS,
        "millrace-training distill --corpus tales --teacher runs/target/final.safetensors"
        " --out runs/draft",
    )
    add_corpus(parser)
    parser.add_argument(
        "--teacher", type=Path, required=True, help="checkpoint; tokenizer.model lies beside it"
    )
    parser.add_argument("--out", type=Path, required=True, help="run folder")
    group = parser.add_argument_group("distillation")
    group.add_argument(
        "--kind", choices=KINDS, default=defaults.weights.kind, help="default %(default)s"
    )
    group.add_argument(
        "--temperature",
        type=float,
        default=defaults.weights.temperature,
        help="default %(default)s",
    )
    group.add_argument(
        "--text-weight",
        type=float,
        default=defaults.weights.cross_entropy_weight,
        help="of the text's own loss",
    )
    group.add_argument(
        "--extra-weight",
        type=float,
        default=defaults.weights.extra_weight,
        help="of features or maps",
    )
    group.add_argument(
        "--mutual-weight", type=float, default=defaults.weights.mutual_weight, help="online only"
    )
    group.add_argument(
        "--teacher-rate-ratio", type=float, default=defaults.teacher_rate_ratio, help="online only"
    )
    group.add_argument(
        "--fresh-embedding", action="store_true", help="do not begin from the teacher's embedding"
    )
    add_model(parser, DRAFT)
    add_schedule(parser, defaults.schedule)
    add_batches(parser, defaults.context_plan, defaults.batch_chunks, defaults.chunk)
    add_cadence(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    weights = LossWeights(
        options.kind,
        options.temperature,
        options.text_weight,
        options.extra_weight,
        options.mutual_weight,
    )
    config = DistillConfig(
        model=model_config(options, DRAFT.vocabulary),
        weights=weights,
        schedule=schedule(options),
        seed=options.seed,
        chunk=options.chunk,
        batch_chunks=options.batch_chunks,
        context_plan=options.context_plan,
        embedding_from_teacher=not options.fresh_embedding,
        teacher_rate_ratio=options.teacher_rate_ratio,
    )
    distill(config, options.teacher, options.corpus, options.out, cadence(options))
