"""millrace-training export"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import TrainingError
from ..gguf_export import export_gguf
from ..hugging_face_export import export_hugging_face
from ..models import load_model, vocabulary_beside
from ..vocabulary import Vocabulary
from .options import add_command


def add(subparsers: Any) -> None:
    parser = add_command(
        subparsers,
        "export",
        "write a checkpoint as GGUF or in the Hugging Face layout",
        "GGUF as F32, F16 or Q8_0; a folder with model.safetensors, config.json and "
        "tokenizer.json; or both.",
        "millrace-training export --checkpoint runs/target/final.safetensors --gguf story.gguf"
        " --precision q8_0",
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="of train or distill")
    parser.add_argument(
        "--tokenizer", type=Path, help="default: tokenizer.model beside the checkpoint"
    )
    parser.add_argument("--gguf", type=Path, help="file to write")
    parser.add_argument(
        "--precision", choices=("f32", "f16", "q8_0"), default="f16", help="default %(default)s"
    )
    parser.add_argument("--hugging-face", type=Path, help="folder to write")
    parser.add_argument(
        "--name", default="Millrace Storyteller", help="stated in the file, default %(default)s"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    if not options.gguf and not options.hugging_face:
        raise TrainingError("nothing to write", "give --gguf FILE, --hugging-face FOLDER, or both")
    model = load_model(options.checkpoint)
    vocabulary = (
        Vocabulary(options.tokenizer)
        if options.tokenizer
        else vocabulary_beside(options.checkpoint)
    )
    if options.gguf:
        export_gguf(
            model.params, model.config, vocabulary, options.precision, options.name, options.gguf
        )
        print(f"{options.gguf}: {options.precision}, {options.gguf.stat().st_size:,} bytes")
    if options.hugging_face:
        export_hugging_face(model.params, model.config, vocabulary, options.hugging_face)
        print(f"{options.hugging_face}: safetensors, config.json, tokenizer.json")
