"""A baseline: the interpolated modified Kneser-Ney n-gram model over tokens (Chen and Goodman
1998).

With adjusted counts a (at the highest order occurrences, below it the number of different tokens
seen before the n-gram) and discounts D1, D2, D3+ of each order:

    p(w | h) = max(a(hw) - D(a(hw)), 0) / a(h.) + gamma(h) p(w | h without its first token)
    gamma(h) = (D1 N1(h) + D2 N2(h) + D3 N3+(h)) / a(h.)

where Ni(h) counts the continuations of h with an adjusted count of i. Below the unigrams lies 1 /
V. An n-gram is one integer of n fields of equal bits, so a table is a sorted array.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .errors import TrainingError


@dataclass(frozen=True)
class _Order:
    """One order's tables: n-grams with discounted shares, contexts with what is left for below."""

    grams: np.ndarray  # sorted
    shares: np.ndarray  # max(a - D(a), 0) / a(h.)
    contexts: np.ndarray  # sorted
    gammas: np.ndarray


class KneserNey:
    """Built from a token stream; gives the bits of another."""

    def __init__(self, tokens: np.ndarray, vocabulary: int, order: int = 5) -> None:
        self.bits = max(1, math.ceil(math.log2(vocabulary)))
        if self.bits * order > 63:
            raise TrainingError(
                f"{order} tokens of a vocabulary of {vocabulary} do not fit 63 bits",
                "use a lower --order",
            )
        self.vocabulary = vocabulary
        self.order = order
        grams, counts = np.unique(ngrams(tokens, order, self.bits), return_counts=True)
        self.tables: list[_Order] = [_table(grams, counts, self.bits)]
        for n in range(order - 1, 0, -1):
            grams, counts = np.unique(grams & ((1 << (n * self.bits)) - 1), return_counts=True)
            self.tables.insert(0, _table(grams, counts, self.bits))

    def probabilities(self, tokens: np.ndarray) -> np.ndarray:
        """p of every token but the first given those before it (at most order - 1), [len - 1]."""
        p = np.full(len(tokens) - 1, 1.0 / self.vocabulary)
        for n, table in enumerate(self.tables, start=1):
            keys = ngrams(tokens, n, self.bits)
            first = max(0, 2 - n)  # the first token is no target
            keys, at = keys[first:], slice(n - 2 if n > 1 else 0, None)
            share = _look_up(table.grams, table.shares, keys, 0.0)
            gamma = _look_up(table.contexts, table.gammas, keys >> self.bits, 1.0)
            p[at] = share + gamma * p[at]
        return p

    def bits_of(self, tokens: np.ndarray) -> float:
        """Bits to code every token but the first."""
        return float(-np.log2(self.probabilities(tokens)).sum())


def ngrams(tokens: np.ndarray, n: int, bits: int) -> np.ndarray:
    """Every n-gram as one integer, its last token in the lowest bits. [len - n + 1]"""
    wide = tokens.astype(np.int64)
    keys = np.zeros(len(wide) - n + 1, np.int64)
    for i in range(n):
        keys = (keys << bits) | wide[i : len(wide) - n + 1 + i]
    return keys


def _table(grams: np.ndarray, counts: np.ndarray, bits: int) -> _Order:
    discounts = _discounts(counts)[np.minimum(counts, 3)]
    contexts, starts = np.unique(grams >> bits, return_index=True)
    totals = np.add.reduceat(counts, starts)
    left_over = np.add.reduceat(discounts, starts)
    widths = np.diff(np.append(starts, len(grams)))
    return _Order(
        grams, (counts - discounts) / np.repeat(totals, widths), contexts, left_over / totals
    )


def _discounts(counts: np.ndarray) -> np.ndarray:
    """D by count 0...3; falls back to 0.5, 0.75, 0.9 where a text is too small to tell."""
    n = [0.0] + [float((counts == c).sum()) for c in range(1, 5)]
    if min(n[1:]) == 0:
        return np.array([0.0, 0.5, 0.75, 0.9])
    y = n[1] / (n[1] + 2 * n[2])
    estimates = [c - (c + 1) * y * n[c + 1] / n[c] for c in (1, 2, 3)]
    return np.array([0.0, *(min(max(d, 0.01), c - 0.01) for c, d in enumerate(estimates, start=1))])


def _look_up(
    keys: np.ndarray, values: np.ndarray, wanted: np.ndarray, missing: float
) -> np.ndarray:
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], missing)
