"""Reads a folder of public-domain tales.

Layout of a corpus folder::

    books/*.txt     training text, UTF-8 (plain ASCII in the reference corpus), one line a paragraph
    SECTIONS.tsv    file, section, byte_offset, byte_length: one row for every tale or chapter
    valid.txt       held-out tales, separated by two blank lines
    SOURCES.tsv     optional: what each book is and where it came from

A book without rows in SECTIONS.tsv is one tale. Text straight from Project Gutenberg is accepted:
what lies outside its START and END marker lines is cut off.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import TrainingError

_START_MARKER = re.compile(r"^\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG.*$", re.M | re.I)
_END_MARKER = re.compile(r"^\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG.*$", re.M | re.I)
_TALE_BREAK = "\n\n\n"


@dataclass(frozen=True)
class Corpus:
    """Training and validation tales, in a fixed order (books by name, tales by offset)."""

    training_tales: tuple[str, ...]
    validation_tales: tuple[str, ...]
    validation_bytes: int


def strip_boilerplate(text: str) -> str:
    """Returns the text between Project Gutenberg's marker lines; without markers, all of it."""
    start = _START_MARKER.search(text)
    if start:
        text = text[start.end() :]
    end = _END_MARKER.search(text)
    if end:
        text = text[: end.start()]
    return text


def read_corpus(folder: Path) -> Corpus:
    """Reads every tale below `folder`.

    Throws TrainingError if the folder has no books or no valid.txt.
    """
    books = sorted((folder / "books").glob("*.txt"))
    if not books:
        raise TrainingError(
            f"no books in {folder / 'books'}", "give --corpus a folder with books/*.txt"
        )
    valid_path = folder / "valid.txt"
    if not valid_path.is_file():
        raise TrainingError(f"{valid_path} is missing", "put some whole held-out tales there")
    sections = _read_sections(folder / "SECTIONS.tsv")
    training: list[str] = []
    for book in books:
        training.extend(_tales_of(book, sections.get(book.name, [])))
    valid = valid_path.read_bytes()
    return Corpus(tuple(training), split_tales(valid.decode("utf-8")), len(valid))


def split_tales(text: str) -> tuple[str, ...]:
    """Splits a text at two blank lines; every tale ends with one newline."""
    tales = (tale.strip("\n") for tale in strip_boilerplate(text).split(_TALE_BREAK))
    return tuple(tale + "\n" for tale in tales if tale)


def training_text(folder: Path) -> bytes:
    """The training tales as one string of bytes, two blank lines between: for the baselines."""
    return (
        _TALE_BREAK.join(t.rstrip("\n") for t in read_corpus(folder).training_tales).encode()
        + b"\n"
    )


def _tales_of(book: Path, spans: list[tuple[int, int]]) -> list[str]:
    data = book.read_bytes()
    if not spans:
        return [strip_boilerplate(data.decode("utf-8")).strip("\n") + "\n"]
    tales = []
    for offset, length in sorted(spans):
        if offset + length > len(data):
            raise TrainingError(
                f"{book.name}: section at byte {offset} of {length} bytes ends after the file",
                "make SECTIONS.tsv anew from these books",
            )
        tales.append(data[offset : offset + length].decode("utf-8").strip("\n") + "\n")
    return tales


def _read_sections(path: Path) -> dict[str, list[tuple[int, int]]]:
    spans: dict[str, list[tuple[int, int]]] = {}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
                span = (int(row["byte_offset"]), int(row["byte_length"]))
                spans.setdefault(row["file"], []).append(span)
    return spans
