"""Corpus, vocabulary, batches, schedules and checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from millrace_training.checkpoint import load_checkpoint, read_state, save_checkpoint
from millrace_training.corpus import read_corpus, split_tales, strip_boilerplate
from millrace_training.data import TaleStream, evaluation_windows
from millrace_training.errors import TrainingError
from millrace_training.schedule import Schedule, context_at, parse_context_plan
from millrace_training.vocabulary import BEGIN, END


def test_sections_become_tales(corpus_folder: Path) -> None:
    corpus = read_corpus(corpus_folder)
    assert len(corpus.training_tales) == 120 and len(corpus.validation_tales) == 5
    assert all(t.startswith(f"Tale {n}\n") for n, t in enumerate(corpus.training_tales))
    assert corpus.validation_bytes == (corpus_folder / "valid.txt").stat().st_size


def test_boilerplate_is_cut_off() -> None:
    start, end = (f"*** {word} OF THE PROJECT GUTENBERG EBOOK A ***" for word in ("START", "END"))
    raw = f"x\n{start}\nOnce.\n{end}\ny"
    assert strip_boilerplate(raw).strip() == "Once."
    assert split_tales("One.\n\n\n\nTwo.\n") == ("One.\n", "Two.\n")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no books"):
        read_corpus(tmp_path)


def test_text_survives_the_vocabulary(vocabulary) -> None:
    text = 'The king said, "Zwölf & 42!"\n\n  And\tran.\n'
    assert vocabulary.decode(vocabulary.encode(text)) == text
    (tokens,) = vocabulary.encode_tales(["A fox.\n"])
    assert tokens[0] == BEGIN and tokens[-1] == END


def _stream(seed: int = 3) -> TaleStream:
    return TaleStream(
        [np.arange(n, n + 50, dtype=np.uint16) for n in range(0, 2000, 50)], seed, chunk=32
    )


def test_batches_are_a_function_of_seed_and_position() -> None:
    forward = _stream()
    batches = [forward.batch(4 * n, 4, 32).tokens for n in range(20)]
    again = _stream()
    for n in reversed(range(20)):
        np.testing.assert_array_equal(again.batch(4 * n, 4, 32).tokens, batches[n])
    assert not np.array_equal(_stream(4).batch(0, 4, 32).tokens, batches[0])


def test_an_epoch_meets_every_chunk_once() -> None:
    stream = _stream()
    position, firsts = 0, []
    for _ in range(stream.chunks_per_epoch // 4):
        batch = stream.batch(position, 4, 32)
        firsts += [tuple(row) for row in batch.tokens]
        position = batch.next_position
    assert len(set(firsts)) == len(firsts) == stream.chunks_per_epoch // 4 * 4


def test_a_context_splits_chunks_and_changes_no_position() -> None:
    whole, halves = _stream().batch(8, 4, 32), _stream().batch(8, 4, 16)
    assert whole.next_position == halves.next_position
    np.testing.assert_array_equal(halves.tokens[::2, :], whole.tokens[:, :17])
    np.testing.assert_array_equal(halves.tokens[1::2, :], whole.tokens[:, 16:])


@pytest.mark.parametrize(
    ("length", "context", "stride"), [(100, 16, 16), (100, 16, 4), (5, 16, 8), (17, 16, 8)]
)
def test_every_token_is_a_target_once(length: int, context: int, stride: int) -> None:
    counted = np.zeros(length, int)
    for window, skip in evaluation_windows(np.arange(length), context, stride):
        assert len(window) <= context + 1
        counted[window[1 + skip :]] += 1
        assert skip == 0 or skip >= context - stride
    assert counted[0] == 0 and (counted[1:] == 1).all()


def test_schedules_rise_stay_and_fall() -> None:
    wsd = Schedule(peak_rate=1.0, warmup_steps=10, stable_steps=50, decay_steps=10)
    assert [wsd.rate(s) for s in (0, 9, 10, 49, 55)] == pytest.approx([0.1, 1, 1, 1, 0.5])
    assert wsd.is_stable(50) and not wsd.is_stable(51)
    cosine = Schedule(
        kind="cosine", peak_rate=1.0, warmup_steps=0, stable_steps=5, decay_steps=5, final_ratio=0.1
    )
    assert (
        cosine.rate(0) == 1
        and cosine.rate(5) == pytest.approx(0.55)
        and cosine.rate(10) == pytest.approx(0.1)
    )


def test_context_plans() -> None:
    plan = parse_context_plan("0:256,100:512")
    assert [context_at(plan, s) for s in (0, 99, 100)] == [256, 256, 512]
    for wrong in ("a", "5:256", ""):
        with pytest.raises(TrainingError, match="context plan"):
            parse_context_plan(wrong)


def test_checkpoints_come_back_whole(tmp_path: Path) -> None:
    tree = {"a": np.float32(2.5), "b": [np.arange(6, dtype=np.int32).reshape(2, 3)]}
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, tree, {"step": 7})
    back = load_checkpoint(path, tree)
    assert read_state(path) == {"step": 7} and back["a"].shape == () and float(back["a"]) == 2.5
    np.testing.assert_array_equal(back["b"][0], tree["b"][0])
    assert os.listdir(tmp_path) == ["c.safetensors"]
    with pytest.raises(TrainingError, match="no array"):
        load_checkpoint(path, {"z": np.float32(0)})


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0 not a header")
    with pytest.raises(TrainingError, match="damaged"):
        read_state(path)
