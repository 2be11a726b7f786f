"""Learning rates by step: warm-up, stable, decay (Hu et al. 2024, WSD), or warm-up and cosine.

The stable phase has no end of its own: a run may be continued from its last stable checkpoint with
a larger `stable_steps` and then decayed anew, which a cosine does not allow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .errors import TrainingError


@dataclass(frozen=True)
class Schedule:
    kind: Literal["wsd", "cosine"] = "wsd"
    peak_rate: float = 5e-3
    warmup_steps: int = 100
    stable_steps: int = 2000  # up to this step, warm-up included
    decay_steps: int = 800  # after it
    final_ratio: float = 0.0

    @property
    def total_steps(self) -> int:
        return self.stable_steps + self.decay_steps

    def rate(self, step: int) -> float:
        """The rate of the update that leads from `step` to `step + 1`."""
        if step < self.warmup_steps:
            return self.peak_rate * (step + 1) / self.warmup_steps
        floor = self.peak_rate * self.final_ratio
        if self.kind == "cosine":
            progress = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
            return floor + (self.peak_rate - floor) * 0.5 * (
                1 + math.cos(math.pi * min(progress, 1.0))
            )
        if step < self.stable_steps:
            return self.peak_rate
        progress = (step - self.stable_steps) / max(1, self.decay_steps)
        return floor + (self.peak_rate - floor) * max(0.0, 1.0 - progress)

    def is_stable(self, step: int) -> bool:
        """Whether the state after `step` updates may still be continued at the peak rate."""
        return self.kind == "wsd" and step <= self.stable_steps


def parse_context_plan(text: str) -> list[tuple[int, int]]:
    """Reads `512` or `0:512,3000:1024`: from which step on which context is used."""
    try:
        parts = [p.split(":") if ":" in p else ("0", p) for p in text.split(",")]
        plan = sorted((int(a), int(b)) for a, b in parts)
    except ValueError as error:
        raise TrainingError(
            f"cannot read the context plan {text!r}", "write it like 0:512,3000:1024"
        ) from error
    if plan[0][0] != 0:
        raise TrainingError(
            f"the context plan {text!r} does not say what step 0 uses", "begin it with 0:"
        )
    return plan


def context_at(plan: list[tuple[int, int]], step: int) -> int:
    return [context for first, context in plan if first <= step][-1]
