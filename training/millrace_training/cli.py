"""The command line: one subcommand a step of the recipe."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import commands
from .errors import TrainingError

_DESCRIPTION = """Trains Millrace's storyteller and its draft.

The order of the recipe:
  tokenizer   make the vocabulary from the corpus
  train       train the storyteller; stop and resume at will
  grow        add layers to a model in training, keeping what it computes
  distill     train a draft from the storyteller
  evaluate    bits per byte, baselines, agreement of draft and target
  export      write GGUF, or the Hugging Face layout
  import      read an exported GGUF back, to train it on
  inflate     expand a model to the cost of a larger one, text unchanged
  verify      compare exports with their checkpoint, through Millrace's engine
  curve       draw the losses of runs
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; 0 if it went well, 1 after a problem it could name, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="millrace-training",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands.ALL:
        command.add(subparsers)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "interrupted; run the same command to go on from the last checkpoint", file=sys.stderr
        )
        return 130
    return 0
