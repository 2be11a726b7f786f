"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..loop import Cadence
from ..model import ModelConfig
from ..schedule import Schedule


def add_command(
    subparsers: Any, name: str, summary: str, details: str, example: str
) -> argparse.ArgumentParser:
    """A subcommand whose help ends with an example."""
    return subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{details}",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_corpus(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--corpus", type=Path, required=True, help="folder with books/, SECTIONS.tsv and valid.txt"
    )


def add_model(parser: argparse.ArgumentParser, defaults: ModelConfig) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--width", type=int, default=defaults.width, help="default %(default)s")
    group.add_argument("--layers", type=int, default=defaults.layers, help="default %(default)s")
    group.add_argument(
        "--query-heads", type=int, default=defaults.query_heads, help="default %(default)s"
    )
    group.add_argument(
        "--kv-heads", type=int, default=defaults.kv_heads, help="default %(default)s"
    )
    group.add_argument(
        "--head-size", type=int, default=defaults.head_size, help="default %(default)s"
    )
    group.add_argument(
        "--ffn-width", type=int, default=defaults.ffn_width, help="default %(default)s"
    )
    group.add_argument(
        "--context",
        type=int,
        default=defaults.context,
        help="longest context the model will state, default %(default)s",
    )


def model_config(options: argparse.Namespace, vocabulary: int) -> ModelConfig:
    return ModelConfig(
        width=options.width,
        layers=options.layers,
        query_heads=options.query_heads,
        kv_heads=options.kv_heads,
        head_size=options.head_size,
        ffn_width=options.ffn_width,
        vocabulary=vocabulary,
        context=options.context,
    )


def add_schedule(parser: argparse.ArgumentParser, defaults: Schedule) -> None:
    group = parser.add_argument_group("schedule")
    group.add_argument(
        "--schedule",
        choices=("wsd", "cosine"),
        default=defaults.kind,
        help="warm-up, stable, linear decay; or warm-up and cosine; default %(default)s",
    )
    group.add_argument(
        "--rate",
        type=float,
        default=defaults.peak_rate,
        help="peak learning rate, default %(default)s",
    )
    group.add_argument(
        "--warmup-steps", type=int, default=defaults.warmup_steps, help="default %(default)s"
    )
    group.add_argument(
        "--stable-steps",
        type=int,
        default=defaults.stable_steps,
        help="step at which the decay begins, default %(default)s",
    )
    group.add_argument(
        "--decay-steps", type=int, default=defaults.decay_steps, help="default %(default)s"
    )
    group.add_argument(
        "--final-ratio",
        type=float,
        default=defaults.final_ratio,
        help="last rate over peak rate, default %(default)s",
    )


def schedule(options: argparse.Namespace) -> Schedule:
    return Schedule(
        kind=options.schedule,
        peak_rate=options.rate,
        warmup_steps=options.warmup_steps,
        stable_steps=options.stable_steps,
        decay_steps=options.decay_steps,
        final_ratio=options.final_ratio,
    )


def add_batches(
    parser: argparse.ArgumentParser, context_plan: str, batch_chunks: int, chunk: int
) -> None:
    group = parser.add_argument_group("batches")
    group.add_argument(
        "--seed", type=int, default=1, help="of weights and batches, default %(default)s"
    )
    group.add_argument(
        "--context-plan",
        default=context_plan,
        help="context in training, one number or by step like 0:512,3000:1024; default %(default)s",
    )
    group.add_argument(
        "--batch-chunks", type=int, default=batch_chunks, help="chunks a step, default %(default)s"
    )
    group.add_argument(
        "--chunk", type=int, default=chunk, help="tokens that stay together, default %(default)s"
    )


def add_cadence(parser: argparse.ArgumentParser) -> None:
    defaults = Cadence()
    group = parser.add_argument_group("how often, in steps (changes no number)")
    group.add_argument(
        "--report-every", type=int, default=defaults.report, help="default %(default)s"
    )
    group.add_argument("--save-every", type=int, default=defaults.save, help="default %(default)s")
    group.add_argument(
        "--validate-every", type=int, default=defaults.validate, help="default %(default)s"
    )


def cadence(options: argparse.Namespace) -> Cadence:
    return Cadence(options.report_every, options.save_every, options.validate_every)
