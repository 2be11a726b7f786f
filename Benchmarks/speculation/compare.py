"""Measures what speculation brings Millrace and llama.cpp on the same files, taking turns, and prints
medians.

    python compare.py --millrace PROGRAM --target T --draft D --prompts FILE --rounds 3
"""

import argparse
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "engine"))

from programs import run  # noqa: E402

PEER_DRAFTS = (3, 5, 8)


def ours(options, batch, *, mode, prompts):
    """Rate and accepted tokens a round of one `millrace bench`."""
    count = len([line for line in prompts.read_text().splitlines() if line])
    (result,) = run(
        [
            *(options.millrace, "bench", "--json", "--model", options.target, "--batch", batch),
            *("--threads", options.threads, "--decode-tokens", options.decode_tokens),
            *("--prompts", prompts, "--runs", max(count // batch, 1)),
            *(("--draft", options.draft) if mode in ("draft", "auto") else ("--draft", "off")),
            *("--speculation", mode),
        ]
    )
    rounds = result["draft_rounds"]
    return result["decode_tokens_per_second"], result["accepted_tokens"] / rounds if rounds else 0.0


def theirs(options, draft_tokens):
    draft = ["--draft", options.draft, "--draft-tokens", draft_tokens] if draft_tokens else []
    result = run(
        [
            *(sys.executable, HERE / "peer.py", "--model", options.target, "--threads"),
            *(options.threads, "--decode-tokens", options.decode_tokens),
            *("--prompts", options.prompts, *draft),
        ],
        options.preload,
    )
    return result["decode_tokens_per_second"], result["accepted"] / result["rounds"]


def cases(options):
    """Names and how to measure each, in the order in which they take turns."""
    for batch in map(int, options.batch.split(",")):
        for mode in ("off", "auto"):
            name = "plain" if mode == "off" else "speculation"
            yield (
                f"Millrace, {name}, {batch} sequence{'s' if batch > 1 else ''}",
                lambda batch=batch, mode=mode: ours(
                    options, batch, mode=mode, prompts=options.prompts
                ),
            )
    if not options.short:
        for mode in ("off", "lookup"):
            yield (
                f"Millrace, {'plain' if mode == 'off' else mode}, edits and summaries",
                lambda mode=mode: ours(options, 1, mode=mode, prompts=options.editing),
            )
    if not options.alone:
        yield "llama.cpp, plain", lambda: theirs(options, 0)
        for count in PEER_DRAFTS:
            yield f"llama.cpp, {count} drafted tokens", lambda count=count: theirs(options, count)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--millrace", type=pathlib.Path, required=True)
    parser.add_argument("--target", type=pathlib.Path, required=True)
    parser.add_argument("--draft", type=pathlib.Path, required=True)
    parser.add_argument("--prompts", type=pathlib.Path, default=HERE / "prompts.txt")
    parser.add_argument(
        "--editing",
        type=pathlib.Path,
        default=HERE / "editing.jsonl",
        help="prompts and outputs for lookup",
    )
    parser.add_argument("--batch", default="1,4,32")
    parser.add_argument("--decode-tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--short", action="store_true", help="without edits and summaries")
    parser.add_argument("--alone", action="store_true", help="without llama.cpp")
    parser.add_argument("--only", default="", help="cases whose names hold this, the plain one included")
    parser.add_argument("--preload", type=pathlib.Path, help="a library for llama.cpp's process")
    options = parser.parse_args()
    rates, accepted = {}, {}
    order = [case for case in cases(options) if options.only in case[0]]
    for number in range(options.rounds):
        for name, measure in order if number % 2 == 0 else reversed(order):
            print(f"  round {number + 1}: {name}", file=sys.stderr)
            rate, per_round = measure()
            rates.setdefault(name, []).append(rate)
            accepted.setdefault(name, []).append(per_round)
    print("| | tokens/s | times plain | accepted a round |")
    print("|---|---|---|---|")
    plain = 1.0
    for name, _ in order:
        rate = statistics.median(rates[name])
        plain = rate if "plain" in name else plain
        print(
            f"| {name} | {rate:.1f} | {rate / plain:.2f} | {statistics.median(accepted[name]):.2f} |"
        )


if __name__ == "__main__":
    main()
