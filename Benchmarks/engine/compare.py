"""Measures Millrace and llama.cpp on the same files, taking turns, and prints ratios of medians.

    python compare.py --millrace PROGRAM --models DIR --shapes 135m,1b --types q8_0,q4_0 --rounds 5
"""

import argparse
import json
import pathlib
import statistics
import sys

from programs import run

HERE = pathlib.Path(__file__).parent
PREFILL = {"name": "prefill 512", "prompt": 512, "decode": 2, "batch": "1"}
DECODE = {
    "135m": {"name": "decode", "prompt": 128, "decode": 64, "batch": "1,8,16,32"},
    "1b": {"name": "decode", "prompt": 128, "decode": 32, "batch": "1,8,16,32"},
}


def arguments(model, work, threads):
    return [
        *("--model", model, "--threads", threads, "--batch", work["batch"]),
        *("--prompt-tokens", work["prompt"], "--decode-tokens", work["decode"], "--runs", 1),
    ]


def figures(results, work):
    """Name of the figure and its value, for each line of a program's answer."""
    for result in results:
        if work is PREFILL:
            yield work["name"], result["prefill_tokens_per_second"]
        else:
            yield f"decode, batch {result['batch']}", result["decode_tokens_per_second"]


def compare(options, model, work):
    """Medians of both, by name of the figure."""
    rates = {}
    for number in range(options.rounds):
        print(f"  {model.name}, {work['name']}: round {number + 1}", file=sys.stderr)
        given = arguments(model, work, options.threads)
        programs = [
            (
                "millrace",
                # Keys and values in half precision, as llama.cpp stores them.
                [options.millrace, "bench", *given, "--kernels", options.kernels, "--json"]
                + ["--kv-cache-type", "f16"],
                None,
            ),
            ("llama.cpp", [sys.executable, HERE / "peer.py", *given], options.preload),
        ]
        # The one that goes first in a round goes second in the next.
        for name, command, preload in programs if number % 2 == 0 else reversed(programs):
            for figure, rate in figures(run(command, preload), work):
                rates.setdefault(figure, {}).setdefault(name, []).append(rate)
    return rates


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--millrace", type=pathlib.Path, required=True)
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--shapes", default="135m,1b")
    parser.add_argument("--types", default="q8_0,q4_0")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kernels", default="auto", help="Millrace's")
    parser.add_argument("--preload", type=pathlib.Path, help="a library for llama.cpp's process")
    parser.add_argument("--json", type=pathlib.Path, help="also write all single figures here")
    options = parser.parse_args()
    everything = {}
    print("| model | figure | llama.cpp, tokens/s | Millrace, tokens/s | ratio |")
    print("|---|---|---|---|---|")
    for shape in options.shapes.split(","):
        for kind in options.types.split(","):
            model = options.models / f"{shape}-{kind}.gguf"
            for work in (PREFILL, DECODE[shape]):
                for figure, rates in compare(options, model, work).items():
                    everything[f"{model.stem}: {figure}"] = rates
                    ours = statistics.median(rates["millrace"])
                    theirs = statistics.median(rates["llama.cpp"])
                    print(
                        f"| {shape} {kind} | {figure} | {theirs:.1f} | {ours:.1f} "
                        f"| {ours / theirs:.2f} |",
                        flush=True,
                    )
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
