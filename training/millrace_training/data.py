"""Batches of tokens, each a pure function of the seed and a position: a killed run resumes exactly.

An epoch puts the tales in an order drawn from (seed, epoch), joins them, starts at a drawn offset
and cuts the stream into chunks of CHUNK tokens, which are shuffled again. A position counts chunks
since the start of training; an epoch's last chunks that fill no batch are left out. A batch of
context T below CHUNK splits its chunks into rows, so that the context may change between steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import TrainingError

CHUNK = 1024


@dataclass(frozen=True)
class Batch:
    """Token ids [rows, context + 1]: inputs are all but the last column, targets all but the
    first."""

    tokens: np.ndarray
    next_position: int


class TaleStream:
    """Shuffled chunks of the training tales."""

    def __init__(self, tales: list[np.ndarray], seed: int, chunk: int = CHUNK) -> None:
        self.tales = tales
        self.seed = seed
        self.chunk = chunk
        self.tokens = sum(len(t) for t in tales)
        self.chunks_per_epoch = (self.tokens - 1) // chunk - 1  # one less, for the drawn offset
        if self.chunks_per_epoch < 1:
            raise TrainingError(
                f"{self.tokens} tokens of text fill no chunk of {chunk}", "give more text"
            )
        self._epoch = -1
        self._stream = np.empty(0, np.uint16)
        self._order = np.empty(0, np.int64)
        self._offset = 0

    def batch(self, position: int, chunks: int, context: int) -> Batch:
        """The batch at a position: `chunks` chunks as rows of `context` tokens and one more."""
        if self.chunk % context:
            raise TrainingError(
                f"context {context} does not divide {self.chunk}", "use 128, 256, 512 or 1024"
            )
        if chunks > self.chunks_per_epoch:
            raise TrainingError(
                f"a batch of {chunks} chunks is more than an epoch's {self.chunks_per_epoch}",
                "use a smaller batch or more text",
            )
        epoch, index = divmod(position, self.chunks_per_epoch)
        if index + chunks > self.chunks_per_epoch:
            epoch, index = epoch + 1, 0
        self._enter(epoch)
        starts = self._offset + self._order[index : index + chunks] * self.chunk
        rows = [
            self._stream[s + r : s + r + context + 1]
            for s in starts
            for r in range(0, self.chunk, context)
        ]
        return Batch(
            np.stack(rows).astype(np.int32), epoch * self.chunks_per_epoch + index + chunks
        )

    def _enter(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        random = np.random.default_rng([self.seed, epoch])
        self._stream = np.concatenate([self.tales[i] for i in random.permutation(len(self.tales))])
        self._offset = int(random.integers(self.chunk))
        self._order = random.permutation(self.chunks_per_epoch)
        self._epoch = epoch


def evaluation_windows(
    tokens: np.ndarray, context: int, stride: int
) -> list[tuple[np.ndarray, int]]:
    """Windows of at most context + 1 tokens and how many of each one's first targets are already
    counted.

    Every token but the very first is a target exactly once; those past the first window are
    predicted from at least context - stride tokens before them.
    """
    windows = []
    counted = 1  # tokens before this index have been targets (or are the first)
    start = 0
    while counted < len(tokens):
        end = min(start + context + 1, len(tokens))
        windows.append((tokens[start:end], counted - start - 1))
        counted = end
        start = end - 1 - (context - stride)
    return windows
