"""Generates a document for each of many JSON schemas and prints what the masks took of a step."""

import argparse
import json
import pathlib
import statistics
import tempfile

from schemas import Maker
from service import run

PROMPT = "The answer is: "


def generate(options, schema, seed, folder):
    """Seconds of the masks and of the step, for each token of a document but the first."""
    path = folder / "schema.json"
    path.write_text(json.dumps(schema))
    done = run(
        *("generate", "--json", "--prompt", PROMPT, "--json-schema", path, "--max-tokens", 160),
        *("--temperature", 1.5, "--seed", seed, "--speculation", "off", "--draft", "off"),
        *("--threads", options.threads, *(["--model", options.model] if options.model else [])),
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr.decode())
    result = json.loads(done.stdout)
    timings = result["timings"]
    return len(result["ids"]), timings["mask_seconds_per_token"], timings["decode_seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=pathlib.Path, help="[the bundled storyteller]")
    parser.add_argument("--schemas", type=int, default=200, help="how many [200]")
    parser.add_argument("--threads", type=int, default=2, help="[2]")
    options = parser.parse_args()
    masks, shares = [], []
    mask_seconds = step_seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.schemas):
            schema = Maker(seed).document()
            tokens, mask, decode = generate(options, schema, seed, pathlib.Path(folder))
            # A document of a token or two has no steps to speak of.
            if tokens < 8:
                continue
            masks.append(mask)
            shares.append(mask * (tokens - 1) / decode)
            mask_seconds += mask * (tokens - 1)
            step_seconds += decode
    if not masks:
        raise SystemExit("No document had 8 tokens or more; ask for more schemas.")
    print(f"{len(masks)} documents of 8 tokens and more")
    print(f"mask: median {statistics.median(masks) * 1e6:.1f} us a token, most {max(masks) * 1e6:.1f}")
    print(
        f"share of a step: {100 * mask_seconds / step_seconds:.1f} % in all, "
        f"median {100 * statistics.median(shares):.1f} %, most {100 * max(shares):.1f} %"
    )


if __name__ == "__main__":
    main()
