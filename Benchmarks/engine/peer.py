"""Measures llama.cpp as `millrace bench` measures Millrace, and prints the same JSON.

Prefill counts prompt tokens until every sequence has its first token; decode counts the output
tokens after that, all sequences in one batch, greedy. Medians of the runs.

    python peer.py --model model.gguf --prompt-tokens 128 --decode-tokens 64 --batch 1,8 --threads 2
"""

import argparse
import ctypes
import json
import resource
import statistics
import time

import llama_cpp as llama
import numpy as np


class Peer:
    """One model and one context that holds `sequences` sequences of `length` tokens."""

    CHUNK = 512

    def __init__(self, path, sequences, length, threads):
        parameters = llama.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self.model = llama.llama_model_load_from_file(path.encode(), parameters)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        options = llama.llama_context_default_params()
        options.n_ctx = sequences * length
        options.n_batch = options.n_ubatch = self.CHUNK
        options.n_seq_max = sequences
        options.n_threads = options.n_threads_batch = threads
        # A part of the cache for each sequence: faster, as they share no tokens.
        options.kv_unified = False
        self.context = llama.llama_init_from_model(self.model, options)
        if not self.context:
            raise SystemExit("llama.cpp cannot make a context")
        vocabulary = llama.llama_model_get_vocab(self.model)
        self.vocabulary = llama.llama_vocab_n_tokens(vocabulary)
        self.batch = llama.llama_batch_init(self.CHUNK, 0, 1)

    def decode(self, tokens):
        """Runs (token, position, sequence, wants logits) entries; returns the greedy choices."""
        for index, (token, position, sequence, wants) in enumerate(tokens):
            self.batch.token[index] = token
            self.batch.pos[index] = position
            self.batch.n_seq_id[index] = 1
            self.batch.seq_id[index][0] = sequence
            self.batch.logits[index] = wants
        self.batch.n_tokens = len(tokens)
        if llama.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("llama.cpp failed to decode")
        choices = {}
        for index, (_, _, sequence, wants) in enumerate(tokens):
            if wants:
                logits = llama.llama_get_logits_ith(self.context, index)
                row = np.ctypeslib.as_array(logits, shape=(self.vocabulary,))
                choices[sequence] = int(row.argmax())
        return choices

    def measure(self, sequences, prompt_tokens, decode_tokens):
        """Rates of prefill and decode, in tokens per second."""
        llama.llama_memory_clear(llama.llama_get_memory(self.context), True)
        entries = [
            (self.prompt_token(index, sequence), index, sequence, index == prompt_tokens - 1)
            for sequence in range(sequences)
            for index in range(prompt_tokens)
        ]
        choices = {}
        start = time.perf_counter()
        for first in range(0, len(entries), self.CHUNK):
            choices |= self.decode(entries[first : first + self.CHUNK])
        middle = time.perf_counter()
        for step in range(decode_tokens - 1):
            position = prompt_tokens + step
            choices = self.decode(
                [(choices[each], position, each, True) for each in range(sequences)]
            )
        end = time.perf_counter()
        decoded = sequences * (decode_tokens - 1)
        return sequences * prompt_tokens / (middle - start), decoded / (end - middle)

    def prompt_token(self, index, sequence):
        return (index * 7_919 + sequence * 104_729 + 3) % self.vocabulary

    def close(self):
        llama.llama_batch_free(self.batch)
        llama.llama_free(self.context)
        llama.llama_model_free(self.model)


def measure(options):
    results = []
    for size in map(int, options.batch.split(",")):
        length = options.prompt_tokens + options.decode_tokens
        peer = Peer(options.model, size, length, options.threads)
        runs = [
            peer.measure(size, options.prompt_tokens, options.decode_tokens)
            for _ in range(options.runs + 1)
        ][1:]
        peer.close()
        results.append(
            {
                "batch": size,
                "prompt_tokens": options.prompt_tokens,
                "decode_tokens": options.decode_tokens,
                "runs": options.runs,
                "prefill_tokens_per_second": statistics.median(run[0] for run in runs),
                "decode_tokens_per_second": statistics.median(run[1] for run in runs),
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    return results


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--decode-tokens", type=int, default=64)
    parser.add_argument("--batch", default="1")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    silence = llama.llama_log_callback(lambda level, text, data: None)
    llama.llama_log_set(silence, ctypes.c_void_p(0))
    llama.llama_backend_init()
    print(json.dumps(measure(options)))


if __name__ == "__main__":
    main()
