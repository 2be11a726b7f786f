"""What Millrace's own engine makes of exported files, against the checkpoint they come from."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from .errors import TrainingError
from .model import logits
from .models import TrainedModel


@dataclass(frozen=True)
class Engine:
    """The program `millrace`."""

    program: Path

    def logits(self, model: Path, tokens: list[int]) -> np.ndarray:
        """Logits after each token, [tokens, vocabulary]."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "logits"
            listed = ",".join(map(str, tokens))
            self._run("logits", "--model", model, "--tokens", listed, "--out", out)
            return np.fromfile(out, "<f4").reshape(len(tokens), -1)

    def greedy(self, model: Path, prompt: str, tokens: int) -> list[int]:
        """The likeliest continuation."""
        options = ["--max-tokens", tokens, "--temperature", 0, "--seed", 1, "--json"]
        return json.loads(
            self._run("generate", "--model", model, "--prompt", prompt, *options)
        )["ids"]

    def _run(self, *arguments: object) -> str:
        command = [str(self.program), *map(str, arguments)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            raise TrainingError(
                f"{self.program} does not start: {error.strerror}", "check --millrace"
            ) from error
        if done.returncode != 0:
            raise TrainingError(
                f"{self.program} {arguments[0]} failed: {done.stderr.strip()}", "see its message"
            )
        return done.stdout


def logit_difference(engine: Engine, gguf: Path, model: TrainedModel, tokens: list[int]) -> float:
    """The largest difference from the checkpoint's logits, as a share of their spread."""
    with jax.default_matmul_precision("highest"):
        ours = np.asarray(logits(model.params, np.array([tokens]), model.config))[0]
    theirs = engine.logits(gguf, tokens)
    if theirs.shape != ours.shape:
        raise TrainingError(
            f"{gguf} has {theirs.shape[1]} logits where the checkpoint has {ours.shape[1]}",
            "give the export of this checkpoint",
        )
    return float(np.abs(theirs - ours).max() / (ours.max() - ours.min()))


def equal_texts(
    engine: Engine, gguf: Path, other: Path, prompts: list[str], tokens: int
) -> list[bool]:
    """For each prompt, whether both files have the same greedy continuation, token for token."""
    return [
        engine.greedy(gguf, prompt, tokens) == engine.greedy(other, prompt, tokens)
        for prompt in prompts
    ]
