"""Measures llama.cpp's decoding of one sequence, plain or with a draft model, and prints JSON.

The loop is that of llama.cpp's example `speculative-simple`: the draft model chooses greedily, the target
verifies all drafted tokens in one batch, and both forget the keys and values of rejected ones.

    python peer.py --model target.gguf --draft draft.gguf --draft-tokens 3 --prompts prompts.txt \\
        --decode-tokens 96 --threads 2
"""

import argparse
import json
import pathlib
import statistics
import time

import llama_cpp as llama
import numpy as np


class Context:
    """A model and one sequence of tokens with keys and values."""

    CHUNK = 512

    def __init__(self, path, length, threads):
        parameters = llama.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self.model = llama.llama_model_load_from_file(path.encode(), parameters)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        options = llama.llama_context_default_params()
        options.n_ctx = length
        options.n_batch = options.n_ubatch = self.CHUNK
        options.n_threads = options.n_threads_batch = threads
        self.context = llama.llama_init_from_model(self.model, options)
        self.vocabulary = llama.llama_model_get_vocab(self.model)
        self.size = llama.llama_vocab_n_tokens(self.vocabulary)
        self.batch = llama.llama_batch_init(self.CHUNK, 0, 1)
        self.count = 0

    def tokenize(self, text):
        data = text.encode()
        tokens = (llama.llama_token * (len(data) + 8))()
        count = llama.llama_tokenize(
            self.vocabulary, data, len(data), tokens, len(tokens), True, False
        )
        return list(tokens[:count])

    def clear(self):
        llama.llama_memory_clear(llama.llama_get_memory(self.context), True)
        self.count = 0

    def keep(self, count):
        """Forgets what comes after the first `count` tokens."""
        if count < self.count:
            llama.llama_memory_seq_rm(llama.llama_get_memory(self.context), 0, count, -1)
            self.count = count

    def choose(self, tokens, wanted):
        """Appends tokens; returns the greedy choices after the last `wanted` of them."""
        choices = []
        for first in range(0, len(tokens), self.CHUNK):
            part = tokens[first : first + self.CHUNK]
            for index, token in enumerate(part):
                self.batch.token[index] = token
                self.batch.pos[index] = self.count + index
                self.batch.n_seq_id[index] = 1
                self.batch.seq_id[index][0] = 0
                self.batch.logits[index] = first + index >= len(tokens) - wanted
            self.batch.n_tokens = len(part)
            if llama.llama_decode(self.context, self.batch) != 0:
                raise SystemExit("llama.cpp failed to decode")
            self.count += len(part)
            for index in range(len(part)):
                if self.batch.logits[index]:
                    logits = llama.llama_get_logits_ith(self.context, index)
                    row = np.ctypeslib.as_array(logits, shape=(self.size,))
                    choices.append(int(row.argmax()))
        return choices


def generate(target, draft, prompt, decode_tokens, draft_tokens):
    """Seconds from the first token to the last, the text's tokens, rounds and accepted tokens."""
    target.clear()
    text = list(prompt) + target.choose(prompt, 1)
    if draft:
        draft.clear()
        draft.choose(prompt, 1)
    rounds = accepted = 0
    start = time.perf_counter()
    while len(text) < len(prompt) + decode_tokens:
        drafted = []
        if draft:
            fresh = text[draft.count :]
            for _ in range(draft_tokens):
                drafted += draft.choose(fresh, 1)
                fresh = drafted[-1:]
        choices = target.choose(text[target.count :] + drafted, 1 + len(drafted))
        good = 0
        while good < len(drafted) and drafted[good] == choices[good]:
            good += 1
        text += choices[: good + 1]
        target.keep(len(text) - 1)
        if draft:
            draft.keep(len(text) - 1)
        rounds, accepted = rounds + 1, accepted + good
    seconds = time.perf_counter() - start
    return seconds, text[len(prompt) :], rounds, accepted


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--draft")
    parser.add_argument("--draft-tokens", type=int, default=3)
    parser.add_argument("--prompts", type=pathlib.Path, required=True)
    parser.add_argument("--decode-tokens", type=int, default=96)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    prompts = [line for line in options.prompts.read_text().splitlines() if line]
    target = Context(options.model, 1024, options.threads)
    draft = Context(options.draft, 1024, options.threads) if options.draft else None
    rates, rounds, accepted = [], 0, 0
    for number, text in enumerate([prompts[0]] + prompts):
        seconds, tokens, these_rounds, these = generate(
            target, draft, target.tokenize(text), options.decode_tokens, options.draft_tokens
        )
        # The first one warms up.
        if number:
            rates.append((len(tokens) - 1) / seconds)
            rounds, accepted = rounds + these_rounds, accepted + these
    print(
        json.dumps(
            {
                "decode_tokens_per_second": statistics.median(rates),
                "rounds": rounds,
                "accepted": accepted,
            }
        )
    )


if __name__ == "__main__":
    main()
