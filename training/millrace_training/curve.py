"""Draws the losses of one or more runs as an SVG, with nothing but text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import TrainingError
from .progress import read_log

_WIDTH, _HEIGHT, _MARGIN = 760, 400, 56
_COLOURS = ("#1f6f8b", "#c0582b", "#4b7f3a", "#7a4f9a", "#8a6d1d", "#555555")


@dataclass(frozen=True)
class Line:
    title: str
    points: list[tuple[float, float]]  # step, value
    dots: bool = False


def lines_of(run: Path, smoothing: int = 5) -> list[Line]:
    """Training loss in bits a token, averaged over `smoothing` reports, and validation bits per
    byte."""
    log = run / "log.jsonl"
    train = [(r["step"], r["loss"] / math.log(2)) for r in read_log(log, "train")]
    valid = [(r["step"], r["bits_per_byte"]) for r in read_log(log, "valid")]
    if not train:
        raise TrainingError(f"{log} has no losses", "give the folder of a run")
    smooth = []
    for i in range(len(train)):
        window = train[max(0, i - smoothing + 1) : i + 1]
        smooth.append((train[i][0], sum(v for _, v in window) / len(window)))
    lines = [Line(f"{run.name}: training, bits a token", smooth)]
    return (
        [*lines, Line(f"{run.name}: valid.txt, bits a byte", valid, dots=True)] if valid else lines
    )


def draw(lines: Sequence[Line], title: str) -> str:
    """An SVG with both axes linear."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    right, low, high = max(xs), math.floor(min(ys)), math.ceil(max(ys))
    plot_width, plot_height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = x / right, (y - low) / max(high - low, 1)
        return _MARGIN + across * plot_width, _HEIGHT - _MARGIN - up * plot_height

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_MARGIN}" y="24" font-size="15">{title}</text>',
    ]
    for value in range(low, high + 1, max(1, (high - low) // 8)):
        _, y = place(0, value)
        parts.append(f'<path d="M{_MARGIN} {y:.1f}H{_WIDTH - _MARGIN}" stroke="#ddd"/>')
        parts.append(f'<text x="{_MARGIN - 8}" y="{y + 4:.1f}" text-anchor="end">{value}</text>')
    for part in range(5):
        x, _ = place(right * part / 4, low)
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _MARGIN + 18}" text-anchor="middle">'
            f"{right * part / 4:,.0f}</text>"
        )
    parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 14}" text-anchor="middle">step</text>')
    for number, line in enumerate(lines):
        parts.extend(_drawn(line, number, [place(*point) for point in line.points]))
    return "\n".join([*parts, "</svg>", ""])


def _drawn(line: Line, number: int, places: list[tuple[float, float]]) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    parts = [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>']
    if line.dots:
        parts.extend(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places
        )
    y = _MARGIN + 16 * number
    parts.append(
        f'<text x="{_WIDTH - _MARGIN}" y="{y}" text-anchor="end" fill="{colour}">'
        f"{line.title}</text>"
    )
    return parts
