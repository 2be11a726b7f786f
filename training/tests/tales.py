"""A small corpus made from a seed: enough structure that a tiny model learns some of it."""

from __future__ import annotations

import random
from pathlib import Path

_WHO = [
    "the king",
    "an old fox",
    "a poor miller",
    "the youngest son",
    "a wolf",
    "the princess",
    "a grey goose",
]
_DID = ["went to", "dreamed of", "lost", "found", "asked for", "sang about", "ran from"]
_WHAT = [
    "the dark wood",
    "a golden ring",
    "seven loaves",
    "the north wind",
    "a glass hill",
    "the well",
    "her supper",
]
_THEN = [
    "and wept",
    "and was glad",
    "and said nothing",
    "before night fell",
    "for a year and a day",
    "at last",
]


def tale(number: int, sentences: int) -> str:
    """A tale of the given number of sentences, the same for the same number."""
    words = random.Random(number)
    lines = [f"Tale {number}", ""]
    for _ in range(sentences // 3):
        line = [
            " ".join(words.choice(part) for part in (_WHO, _DID, _WHAT, _THEN)) + "."
            for _ in range(3)
        ]
        lines += [" ".join(s[0].upper() + s[1:] for s in line), ""]
    return "\n".join(lines)


def write_corpus(folder: Path, tales: int = 60) -> Path:
    """Writes two books, their sections and held-out tales; returns the folder."""
    (folder / "books").mkdir(parents=True)
    sections = ["file\tsection\tbyte_offset\tbyte_length"]
    for book in range(2):
        text = ""
        for number in range(book * tales, (book + 1) * tales):
            body = tale(number, 24)
            sections.append(f"book{book}.txt\tTale {number}\t{len(text)}\t{len(body)}")
            text += body + "\n"
        (folder / "books" / f"book{book}.txt").write_text(text)
    (folder / "SECTIONS.tsv").write_text("\n".join(sections) + "\n")
    held_out = (tale(1000 + n, 24).strip("\n") for n in range(5))
    (folder / "valid.txt").write_text("\n\n\n".join(held_out) + "\n")
    return folder
