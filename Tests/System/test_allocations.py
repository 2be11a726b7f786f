"""What the engine allocates while it decodes, counted by a library loaded before the C library's."""

import pathlib
import subprocess

import fixture_model

SCRIPT = pathlib.Path(__file__).parents[2] / "Benchmarks/allocations/run"


def allocations(model, sequences):
    """Those of a step."""
    command = [SCRIPT, "--sequences", str(sequences), model]
    table = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    row = table.splitlines()[2].strip("|").split("|")
    assert int(row[0]) == sequences
    return float(row[1])


def test_layers_allocate_nothing(tmp_path):
    # A layer is some ten loops.
    few, many = tmp_path / "few.gguf", tmp_path / "many.gguf"
    fixture_model.write(few, layers=2)
    fixture_model.write(many, layers=12)
    for sequences in (1, 8):
        base = allocations(few, sequences)
        # A step has its lists of what is computed and of what came out, and each token its text.
        assert 0 < base < 30 + 5 * sequences
        assert abs(allocations(many, sequences) - base) < 2
