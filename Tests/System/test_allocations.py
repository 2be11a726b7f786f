"""What the engine allocates while it decodes, counted by a library loaded before the C library's."""

import pathlib
import subprocess

SCRIPT = pathlib.Path(__file__).parents[2] / "Benchmarks/allocations/run"


def test_layers_allocate_nothing():
    table = subprocess.run([SCRIPT, "--sequences", "1,8"], check=True, capture_output=True, text=True)
    rows = [line.strip("|").split("|") for line in table.stdout.splitlines()[2:]]
    assert [int(row[0]) for row in rows] == [1, 8]
    # A step has its lists of what is computed and of what came out, and each token its text. A model
    # of six layers runs some sixty loops a step, of which none may add to that.
    assert all(0 < float(row[1]) < 20 + 4 * int(row[0]) for row in rows), table.stdout
