"""The one error type of this package."""

from __future__ import annotations


class TrainingError(Exception):
    """What went wrong and what to do about it; commands print it in one line and exit with 1."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy
