"""millrace-training curve"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..curve import draw, lines_of
from .options import add_command


def add(subparsers: Any) -> None:
    parser = add_command(
        subparsers,
        "curve",
        "draw the losses of runs as an SVG",
        "Training loss in bits a token and validation in bits a byte, by step.",
        "millrace-training curve --run runs/target --out loss.svg",
    )
    parser.add_argument(
        "--run",
        dest="folders",
        metavar="FOLDER",
        type=Path,
        action="append",
        required=True,
        help="run folder; may be repeated",
    )
    parser.add_argument("--title", default="Loss", help="default %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    lines = [line for folder in options.folders for line in lines_of(folder)]
    options.out.write_text(draw(lines, options.title), encoding="utf-8")
    print(f"{options.out}: {len(lines)} curves")
