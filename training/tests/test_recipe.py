"""The whole recipe on a tiny model, by its commands, with a kill in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from gguf_reference import ReferenceModel
from safetensors.numpy import load_file
from test_model import run

from millrace_training.checkpoint import read_state
from millrace_training.cli import main
from millrace_training.models import load_model
from millrace_training.progress import read_log

SHAPE = (
    "--width 32 --query-heads 2 --kv-heads 1 --head-size 16 --ffn-width 64 --context 128".split()
)
BATCHES = (
    "--chunk 128 --batch-chunks 4 --report-every 1 --save-every 25 --validate-every 100".split()
)
RATES = "--rate 1e-2 --warmup-steps 20 --stable-steps 150 --decay-steps 50".split()

# Runs a command and kills its own process, without any goodbye, when a step is logged.
_KILLED_AT = """
import os, signal, sys
from millrace_training import progress
from millrace_training.checkpoint import read_state
from millrace_training.cli import main
record = progress.Progress.record
def record_and_die(self, kind, step, values):
    record(self, kind, step, values)
    if step == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
progress.Progress.record = record_and_die
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, corpus_folder: Path) -> Path:
    """A folder with a tokenizer, a trained target and a draft of it."""
    folder = tmp_path_factory.mktemp("recipe")
    corpus = os.environ.get("MILLRACE_CORPUS") or str(corpus_folder)
    tokenizer = str(folder / "tokenizer.model")
    _run("tokenizer", "--corpus", corpus, "--size", "400", "--out", tokenizer)
    _run(*_training(folder, corpus, "target"))
    _run(*_distilling(folder, corpus, "online"))
    return folder


def _training(folder: Path, corpus: str, name: str) -> list[str]:
    paths = [
        "--corpus",
        corpus,
        "--tokenizer",
        str(folder / "tokenizer.model"),
        "--out",
        str(folder / name),
    ]
    return [
        "train",
        *paths,
        "--layers",
        "2",
        "--context-plan",
        "0:64,150:128",
        *SHAPE,
        *BATCHES,
        *RATES,
    ]


def _distilling(folder: Path, corpus: str, name: str) -> list[str]:
    teacher = str(folder / "target" / "final.safetensors")
    arguments = [
        "distill",
        "--corpus",
        corpus,
        "--teacher",
        teacher,
        "--kind",
        "online",
        "--out",
        str(folder / name),
    ]
    return [*arguments, "--layers", "1", "--context-plan", "64", *SHAPE, *BATCHES, *RATES]


def _run(*arguments: str) -> None:
    assert main(arguments) == 0, arguments


def _corpus(corpus_folder: Path) -> str:
    return os.environ.get("MILLRACE_CORPUS") or str(corpus_folder)


def test_training_learns(recipe: Path) -> None:
    losses = [r["loss"] for r in read_log(recipe / "target" / "log.jsonl", "train")]
    assert len(losses) == 200 and losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("command", ["train", "distill"])
def test_a_killed_run_resumes_bit_for_bit(command: str, recipe: Path, corpus_folder: Path) -> None:
    corpus = _corpus(corpus_folder)
    if command == "train":
        arguments, whole = _training(recipe, corpus, "killed"), recipe / "target"
    else:
        arguments, whole = _distilling(recipe, corpus, "killed-online"), recipe / "online"
    killed = Path(arguments[arguments.index("--out") + 1])
    first = subprocess.run(
        [sys.executable, "-c", _KILLED_AT, "110", *arguments], capture_output=True
    )
    assert first.returncode == -signal.SIGKILL, first.stderr.decode()[-2000:]
    assert json.loads((killed / "log.jsonl").read_text().splitlines()[-1])["step"] == 110
    assert not (killed / "final.safetensors").exists()
    _run(*arguments)
    a, b = (read_log(run / "log.jsonl", "train") for run in (whole, killed))
    assert [r["loss"] for r in a] == [r["loss"] for r in b]
    final = [run / "final.safetensors" for run in (whole, killed)]
    assert read_state(final[0]) == read_state(final[1])
    arrays = [load_file(path) for path in final]
    assert arrays[0].keys() == arrays[1].keys()
    assert all(arrays[0][name].tobytes() == arrays[1][name].tobytes() for name in arrays[0])


def test_the_curve_is_drawn(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "loss.svg"
    _run("curve", "--run", str(recipe / "target"), "--out", str(out))
    tags = [element.tag.rpartition("}")[2] for element in ElementTree.parse(out).iter()]
    assert tags.count("circle") == 2 and tags.count("path") > 2


def test_a_stable_phase_continues_and_grows(recipe: Path, corpus_folder: Path) -> None:
    stable, grown = str(recipe / "target" / "stable.safetensors"), str(recipe / "grown.safetensors")
    _run("grow", "--checkpoint", stable, "--layers", "3", "--out", grown)
    arguments = _training(recipe, _corpus(corpus_folder), "longer")
    for option, value in (("--layers", "3"), ("--stable-steps", "160"), ("--decay-steps", "5")):
        arguments[arguments.index(option) + 1] = value
    _run(*arguments, "--start", grown)
    before, after = (read_log(recipe / run / "log.jsonl", "train") for run in ("target", "longer"))
    assert after[0]["step"] == 151
    assert after[0]["loss"] == pytest.approx(before[150]["loss"], abs=1e-3)


def test_a_decayed_run_cannot_be_stretched(recipe: Path, corpus_folder: Path, capsys) -> None:
    arguments = _training(recipe, _corpus(corpus_folder), "target")
    arguments[arguments.index("--decay-steps") + 1] = "90"
    config = recipe / "target" / "config.json"
    before = config.read_bytes()
    assert main(arguments) == 1
    assert "stable.safetensors" in capsys.readouterr().err
    config.write_bytes(before)


def test_evaluation_and_baselines(recipe: Path, corpus_folder: Path, tmp_path: Path) -> None:
    target, draft = (str(recipe / run / "final.safetensors") for run in ("target", "online"))
    out = tmp_path / "numbers.json"
    _run(
        *("evaluate", "--corpus", _corpus(corpus_folder), "--checkpoint", target, "--draft", draft),
        *("--context", "128", "--stride", "64", "--baselines", "--json", str(out)),
    )
    numbers = json.loads(out.read_text())
    assert 0 < numbers["model"]["bits_per_byte"] < 3
    (draft_numbers,) = numbers["drafts"]
    assert (
        draft_numbers["greedy"] > 0.2
        and draft_numbers["overlap"] > 0.2
        and draft_numbers["cost_ratio"] < 1
    )
    assert set(numbers["baselines"]) == {"xz_bits_per_byte", "kneser_ney_5_bits_per_byte"}
    assert all(0 < value < 4 for value in numbers["baselines"].values())


def test_exports_and_inflation(recipe: Path, tmp_path: Path) -> None:
    checkpoint = recipe / "target" / "final.safetensors"
    small, large, folder = tmp_path / "small.gguf", tmp_path / "large.gguf", tmp_path / "hf"
    _run(
        *(
            "export",
            "--checkpoint",
            str(checkpoint),
            "--gguf",
            str(small),
            "--hugging-face",
            str(folder),
        )
    )
    shape = "--layers 3 --width 64 --query-heads 4 --kv-heads 2 --ffn-width 128".split()
    shape += ["--vocabulary", "480"]
    _run(
        "inflate",
        "--checkpoint",
        str(checkpoint),
        "--gguf",
        str(large),
        "--precision",
        "f16",
        *shape,
    )
    model, tokens = load_model(checkpoint), [1, 300, 12, 270, 310, 299, 300]
    ours = run(model.params, np.array([tokens]), model.config)[0]
    for path in (small, large):
        theirs = ReferenceModel(path).logits(tokens)
        assert np.abs(theirs[:, : ours.shape[1]] - ours).max() < 1e-2 * (ours.max() - ours.min())
        np.testing.assert_array_equal(theirs.argmax(-1), ours.argmax(-1))
    assert (folder / "model.safetensors").is_file()


def test_an_exported_model_is_trained_on(recipe: Path, corpus_folder: Path, tmp_path: Path) -> None:
    checkpoint, path = recipe / "target" / "final.safetensors", tmp_path / "model.gguf"
    imported = tmp_path / "imported.safetensors"
    _run("export", "--checkpoint", str(checkpoint), "--gguf", str(path), "--precision", "f32")
    tokenizer = str(recipe / "tokenizer.model")
    _run("import", "--gguf", str(path), "--tokenizer", tokenizer, "--out", str(imported))
    ours, theirs = load_model(checkpoint), load_model(imported)
    assert theirs.config == ours.config
    tokens = np.array([[1, 300, 12, 270, 310, 299, 300]])
    np.testing.assert_array_equal(
        run(theirs.params, tokens, theirs.config), run(ours.params, tokens, ours.config)
    )
    arguments = _training(recipe, _corpus(corpus_folder), "imported")
    arguments[arguments.index("--stable-steps") + 1] = "21"
    arguments[arguments.index("--decay-steps") + 1] = "1"
    _run(*arguments, "--start", str(imported))
    first = read_log(recipe / "imported" / "log.jsonl", "train")[0]
    last = read_log(recipe / "target" / "log.jsonl", "train")[-1]
    assert first["step"] == 1 and first["loss"] < 1.3 * last["loss"]


def test_an_import_wants_the_same_tokenizer(
    recipe: Path, corpus_folder: Path, tmp_path: Path, capsys
) -> None:
    path, other = tmp_path / "model.gguf", tmp_path / "other.model"
    checkpoint = str(recipe / "target" / "final.safetensors")
    _run("export", "--checkpoint", checkpoint, "--gguf", str(path))
    _run("tokenizer", "--corpus", _corpus(corpus_folder), "--size", "390", "--out", str(other))
    out = tmp_path / "imported.safetensors"
    arguments = ["import", "--gguf", str(path), "--tokenizer", str(other), "--out", str(out)]
    assert main(arguments) == 1 and not out.exists()
    assert "another tokenizer" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:2000])
    assert main(arguments) == 1
    assert "error:" in capsys.readouterr().err


def test_the_engine_agrees(recipe: Path, corpus_folder: Path, tmp_path: Path, capsys) -> None:
    """With MILLRACE_BINARY set: Millrace's own logits, and ten greedy texts of the original and an
    inflated form, token for token. Without it nothing is claimed."""
    binary = os.environ.get("MILLRACE_BINARY")
    if not binary:
        pytest.skip("MILLRACE_BINARY is not set")
    small, large = str(tmp_path / "small.gguf"), str(tmp_path / "large.gguf")
    shape = "--layers 3 --width 64 --query-heads 4 --kv-heads 2 --ffn-width 128".split()
    shape += ["--vocabulary", "512"]
    checkpoint = str(recipe / "target" / "final.safetensors")
    verify = ["verify", "--corpus", _corpus(corpus_folder), "--millrace", binary]
    verify += ["--checkpoint", checkpoint, "--gguf", small]
    _run("export", "--checkpoint", checkpoint, "--gguf", small, "--precision", "f32")
    _run(*verify)
    # With weights and activations in eight bits the last bit of a norm can tip a close choice, of which
    # a model that has learnt so little has many.
    _run("inflate", "--checkpoint", checkpoint, "--gguf", large, "--precision", "f32", *shape)
    _run(*verify, "--inflated", large)
    _run("export", "--checkpoint", checkpoint, "--gguf", small, "--precision", "q8_0")
    _run(*verify, "--limit", "0.05")
    assert "10 of 10 texts" in capsys.readouterr().out
    assert main([*verify, "--limit", "1e-6"]) == 1
    assert "the logits differ by more than 1e-06" in capsys.readouterr().err
    # Another model's file is found out.
    draft = str(recipe / "online" / "final.safetensors")
    _run("export", "--checkpoint", draft, "--gguf", small, "--precision", "f32")
    assert main(verify) == 1 and main([*verify, "--limit", "9", "--inflated", large]) == 1
    assert "an inflated model tells another text" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    "tokenizer train grow distill evaluate export import inflate verify curve".split(),
)
def test_help_gives_an_example(command: str, capsys) -> None:
    with pytest.raises(SystemExit) as ending:
        main([command, "--help"])
    assert ending.value.code == 0
    assert f"millrace-training {command} --" in capsys.readouterr().out


def test_errors_name_a_remedy(tmp_path: Path, capsys) -> None:
    assert main(["export", "--checkpoint", str(tmp_path / "none"), "--gguf", "x.gguf"]) == 1
    assert "no checkpoint" in capsys.readouterr().err
