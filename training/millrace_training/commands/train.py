"""millrace-training train"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..optimizer import OptimizerConfig
from ..train import TrainConfig, TrainPaths, train
from ..vocabulary import Vocabulary
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

_DETAILS = """The run lives in a folder. Killed at any moment and started again with the same
options, it goes on from its latest checkpoint with the losses it would have had. To train longer,
continue the stable phase: same --out and a larger --stable-steps before the decay began, or after
it a new --out with --start OLD/stable.safetensors."""


def add(subparsers: Any) -> None:
    defaults = TrainConfig()
    parser = add_command(
        subparsers,
        "train",
        "train the storyteller",
        _DETAILS,
        "millrace-training train --corpus tales --tokenizer runs/tokenizer.model --out runs/target",
    )
    add_corpus(parser)
    parser.add_argument("--tokenizer", type=Path, required=True, help="from the tokenizer command")
    parser.add_argument("--out", type=Path, required=True, help="run folder")
    parser.add_argument(
        "--start", type=Path, help="checkpoint a new run begins from (stable, or grown)"
    )
    add_model(parser, defaults.model)
    add_schedule(parser, defaults.schedule)
    add_batches(parser, defaults.context_plan, defaults.batch_chunks, defaults.chunk)
    group = parser.add_argument_group("optimizer")
    group.add_argument("--optimizer", choices=("muon", "adamw"), default=defaults.optimizer.name)
    group.add_argument("--weight-decay", type=float, default=defaults.optimizer.weight_decay)
    group.add_argument("--clip-norm", type=float, default=defaults.optimizer.clip_norm)
    group.add_argument(
        "--remat",
        action="store_true",
        help="gradient checkpointing: less memory, a third more work",
    )
    add_cadence(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    config = TrainConfig(
        model=model_config(options, len(Vocabulary(options.tokenizer))),
        schedule=schedule(options),
        optimizer=OptimizerConfig(options.optimizer, options.weight_decay, options.clip_norm),
        seed=options.seed,
        chunk=options.chunk,
        batch_chunks=options.batch_chunks,
        context_plan=options.context_plan,
        remat=options.remat,
    )
    train(
        config,
        TrainPaths(options.corpus, options.tokenizer, options.out, options.start),
        cadence(options),
    )
