"""Compares greedy texts of Millrace and llama.cpp on one model, token by token.

    .build/peer/venv/bin/python Benchmarks/engine/agreement.py --model models/storyteller-q8_0.gguf

Where the two part, the gap between llama.cpp's best two logits is told: with quantized weights both
also quantize activations, each in its own way, so a gap near 0 may go either way. After a difference
llama.cpp goes on with Millrace's token, so that every place is compared. Ends with 1 if a float model
parts at a gap of 0.01 or more, or a quantized one at 0.25 or more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import llama_cpp
import numpy as np

PROMPTS = (
    "Once upon a time",
    "Once upon a time there was a king who had three sons.",
    "There was once a poor woodcutter",
    "The fox said to the crow,",
    "In the middle of the forest",
    '"Who are you?" asked the little girl.',
    "Long ago, when the world was young,",
    "The old witch looked at the prince",
    "A lion and a mouse",
    "The princess was so beautiful that",
)


def told(binary: str, model: str, prompt: str, tokens: int) -> dict:
    command = [binary, "generate", "--model", model, "--prompt", prompt, "--temperature", "0"]
    command += ["--max-tokens", str(tokens), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def differences(peer: llama_cpp.Llama, prompt: list[int], ids: list[int]) -> list[tuple[int, float]]:
    """Places in `ids` where the peer would choose another token, each with the peer's gap there."""
    peer.reset()
    peer.eval(prompt)
    found = []
    for place, token in enumerate(ids):
        logits = peer.scores[peer.n_tokens - 1]
        if int(np.argmax(logits)) != token:
            best = np.partition(logits, -2)[-2:]
            found.append((place, float(best[1] - best[0])))
        peer.eval([token])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", required=True, help="GGUF file")
    parser.add_argument("--millrace", default=".build/release/millrace", help="default %(default)s")
    parser.add_argument("--tokens", type=int, default=96, help="of each text, default %(default)s")
    options = parser.parse_args()
    peer = llama_cpp.Llama(options.model, n_ctx=512, logits_all=True, verbose=False)
    limit = 0.25 if "q8_0" in options.model or "q4" in options.model.lower() else 0.01
    total, parted, widest = 0, 0, 0.0
    for prompt in PROMPTS:
        own = told(options.millrace, options.model, prompt, options.tokens)
        theirs = peer.tokenize(prompt.encode(), add_bos=True, special=False)
        if theirs != own["prompt_ids"]:
            print(f"other prompt tokens: {prompt!r}")
            return 1
        found = differences(peer, own["prompt_ids"], own["ids"])
        total, parted = total + len(own["ids"]), parted + len(found)
        widest = max([widest, *(gap for _, gap in found)])
        places = ", ".join(f"token {place} (gap {gap:.4f})" for place, gap in found)
        print(f"{prompt!r}: {len(own['ids'])} tokens, {places or 'all the same'}")
    print(f"{total - parted} of {total} tokens the same; widest gap at a difference {widest:.4f}")
    return int(widest >= limit)


if __name__ == "__main__":
    sys.exit(main())
