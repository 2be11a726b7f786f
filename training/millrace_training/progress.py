"""Progress: a bar for people, and one JSON line a step group for the loss curve."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm


class Progress:
    """Shows steps, loss and tokens per second, and appends records to a log.

    A resumed run appends; `read_log` keeps the last record of each step and kind.
    """

    def __init__(self, title: str, start: int, total: int, log: Path | None) -> None:
        # Without a terminal the bar is drawn every half minute, so that log files stay readable.
        interval = 0.1 if sys.stderr.isatty() else 30
        self._bar = tqdm(
            total=total,
            initial=start,
            desc=title,
            unit="step",
            mininterval=interval,
            maxinterval=60,
        )
        self._log = log
        self._since = time.monotonic()
        self._tokens = 0
        self._validation = ""
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)

    def step(self, tokens: int) -> None:
        self._bar.update(1)
        self._tokens += tokens

    def report(self, step: int, values: dict[str, float]) -> None:
        """Shows values and tokens per second since the last report, and logs them as `train`."""
        now = time.monotonic()
        rate = self._tokens / max(now - self._since, 1e-9)
        self._since, self._tokens = now, 0
        shown = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._bar.set_postfix_str(f"{shown} {rate:,.0f} tokens/s{self._validation}", refresh=False)
        self.record("train", step, {**values, "tokens_per_second": round(rate, 1)})

    def validation(self, step: int, values: dict[str, float]) -> None:
        """Shows validation values until the next ones, and logs them as `valid`."""
        self._validation = "".join(f" valid {name} {value:.4f}" for name, value in values.items())
        self.record("valid", step, values)
        self._since, self._tokens = time.monotonic(), 0

    def record(self, kind: str, step: int, values: dict[str, Any]) -> None:
        if self._log:
            with self._log.open("a", encoding="utf-8") as file:
                line = {"kind": kind, "step": step, "time": round(time.time(), 1), **values}
                file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        self._bar.close()


def read_log(path: Path, kind: str) -> list[dict[str, Any]]:
    """Records of one kind by step; where a resumed run repeated a step, the later record."""
    records: dict[int, dict[str, Any]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if record["kind"] == kind:
                records[record["step"]] = record
    return [records[step] for step in sorted(records)]
