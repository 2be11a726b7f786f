"""A Llama model and two searches in plain Python: slow, and short enough to be seen to be right.

Sources: Touvron et al., "LLaMA" (2023), for the model; Su et al., "A contrastive framework for neural
text generation" (2022), for contrastive search.
"""

import itertools
import math

import gguf
import numpy


class PlainLlama:
    """The forward pass over a whole text, in double precision, from a GGUF of float32 weights."""

    def __init__(self, path):
        reader = gguf.GGUFReader(str(path))
        self.weights = {each.name: each.data.astype(numpy.float64) for each in reader.tensors}

        def number(key, default=None):
            field = reader.get_field(f"llama.{key}")
            return field.contents() if field else default

        self.layers = number("block_count")
        self.heads = number("attention.head_count")
        self.kv_heads = number("attention.head_count_kv", self.heads)
        self.epsilon = number("attention.layer_norm_rms_epsilon")
        self.base = number("rope.freq_base", 10_000.0)

    def norm(self, x, name):
        scale = numpy.sqrt((x * x).mean(axis=-1, keepdims=True) + self.epsilon)
        return x / scale * self.weights[f"{name}.weight"]

    def rotate(self, x):
        """Rotates pairs of neighbours of [tokens, heads, width] by angles that grow with the token."""
        width = x.shape[-1]
        angles = numpy.outer(
            numpy.arange(x.shape[0]), self.base ** (-numpy.arange(0, width, 2) / width)
        )[:, None, :]
        even, odd = x[..., 0::2], x[..., 1::2]
        turned = numpy.empty_like(x)
        turned[..., 0::2] = even * numpy.cos(angles) - odd * numpy.sin(angles)
        turned[..., 1::2] = even * numpy.sin(angles) + odd * numpy.cos(angles)
        return turned

    def attention(self, x, block):
        count = x.shape[0]
        query, key, value = (
            (x @ self.weights[f"{block}.attn_{name}.weight"].T).reshape(count, heads, -1)
            for name, heads in (("q", self.heads), ("k", self.kv_heads), ("v", self.kv_heads))
        )
        query, key = self.rotate(query), self.rotate(key)
        key, value = (
            numpy.repeat(each, self.heads // self.kv_heads, axis=1) for each in (key, value)
        )
        scores = numpy.einsum("thd,shd->hts", query, key) / math.sqrt(query.shape[-1])
        scores[:, numpy.triu(numpy.ones((count, count), dtype=bool), 1)] = -numpy.inf
        scores = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = numpy.einsum("hts,shd->thd", scores, value).reshape(count, -1)
        return mixed @ self.weights[f"{block}.attn_output.weight"].T

    def states(self, tokens):
        """The final hidden states, [tokens, width]."""
        x = self.weights["token_embd.weight"][tokens]
        for layer in range(self.layers):
            block = f"blk.{layer}"
            x = x + self.attention(self.norm(x, f"{block}.attn_norm"), block)
            inner = self.norm(x, f"{block}.ffn_norm")
            gate = inner @ self.weights[f"{block}.ffn_gate.weight"].T
            up = inner @ self.weights[f"{block}.ffn_up.weight"].T
            x = x + (gate / (1 + numpy.exp(-gate)) * up) @ self.weights[f"{block}.ffn_down.weight"].T
        return self.norm(x, "output_norm")

    def logprobs(self, states):
        """The logarithms of the next token's probabilities behind each state."""
        output = self.weights.get("output.weight", self.weights["token_embd.weight"])
        logits = states @ output.T
        shifted = logits - logits.max(axis=-1, keepdims=True)
        return shifted - numpy.log(numpy.exp(shifted).sum(axis=-1, keepdims=True))


def contrastive_search(model, prompt, count, top_k, alpha, end=2):
    """Output tokens, each with the lead of its score over the second best."""
    tokens, leads = list(prompt), []
    while len(leads) < count:
        states = model.states(tokens)
        probabilities = numpy.exp(model.logprobs(states[-1]))
        candidates = numpy.argsort(-probabilities, kind="stable")[:top_k]
        context = states / numpy.linalg.norm(states, axis=1, keepdims=True)
        scores = []
        for candidate in candidates:
            state = model.states([*tokens, int(candidate)])[-1]
            similarity = (context @ (state / numpy.linalg.norm(state))).max()
            scores.append((1 - alpha) * probabilities[candidate] - alpha * similarity)
        order = numpy.argsort(scores)
        leads.append(scores[order[-1]] - scores[order[-2]])
        tokens.append(int(candidates[order[-1]]))
        if tokens[-1] == end:
            break
    return tokens[len(prompt) :], leads


def beam_search(model, prompt, count, width, length_penalty, early_stopping, end=2):
    """The best texts that a search over `width` beginnings finds, best first: (score, tokens)."""
    beams, found = [(0.0, [])], []
    for length in range(1, count + 1):
        continuations = []
        for place, (score, tokens) in enumerate(beams):
            logprobs = model.logprobs(model.states([*prompt, *tokens])[-1])
            for token, logprob in enumerate(logprobs):
                continuations.append((-(score + logprob), place, token))
        beams, before = [], beams
        for rank, (negative, place, token) in enumerate(sorted(continuations)):
            tokens = [*before[place][1], token]
            if token == end or length == count:
                if rank < width:
                    found.append((-negative / length**length_penalty, tokens))
            elif len(beams) < width:
                beams.append((-negative, tokens))
        found = sorted(found, reverse=True)[:width]
        if early_stopping and len(found) == width or not beams:
            break
    return found


def exhaustive_search(model, prompt, count, vocabulary, length_penalty, end=2):
    """All texts of up to `count` tokens, best first: (score, tokens)."""
    found = []
    others = [token for token in range(vocabulary) if token != end]
    for length in range(1, count + 1):
        for begin in itertools.product(others, repeat=length - 1):
            logprobs = model.logprobs(model.states([*prompt, *begin]))
            known = sum(
                logprobs[len(prompt) - 1 + place][token] for place, token in enumerate(begin)
            )
            for last in range(vocabulary) if length == count else [end]:
                score = (known + logprobs[-1][last]) / length**length_penalty
                found.append((score, [*begin, last]))
    return sorted(found, reverse=True)
