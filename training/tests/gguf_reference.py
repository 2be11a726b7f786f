"""A scalar-minded Llama in NumPy that knows only what a GGUF file says: the judge of exports.

It shares no code with the package: rotary pairs are (2i, 2i + 1) and matrices [out, in], as in
llama.cpp.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np


class ReferenceModel:
    """A GGUF file, read and run in float64."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        self.fields = {name: field.contents() for name, field in reader.fields.items()}
        self.tensors = {
            t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64)
            for t in reader.tensors
        }

    def __getitem__(self, key: str):
        return self.fields["llama." + key]

    def logits(self, tokens: list[int]) -> np.ndarray:
        """[T, V] for one sequence."""
        x = self.tensors["token_embd.weight"][tokens]
        for layer in range(self["block_count"]):
            weight = {n: self.tensors[f"blk.{layer}.{n}.weight"] for n in _LAYER_TENSORS}
            x = x + self._attention(self._norm(x, weight["attn_norm"]), weight)
            y = self._norm(x, weight["ffn_norm"])
            gate = y @ weight["ffn_gate"].T
            x = x + (gate / (1 + np.exp(-gate)) * (y @ weight["ffn_up"].T)) @ weight["ffn_down"].T
        return (
            self._norm(x, self.tensors["output_norm.weight"]) @ self.tensors["token_embd.weight"].T
        )

    def _norm(self, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        epsilon = self["attention.layer_norm_rms_epsilon"]
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weight

    def _attention(self, x: np.ndarray, weight: dict[str, np.ndarray]) -> np.ndarray:
        heads, groups, size = (
            self["attention.head_count"],
            self["attention.head_count_kv"],
            self["attention.key_length"],
        )
        q = self._rotate((x @ weight["attn_q"].T).reshape(len(x), heads, size))
        k = self._rotate((x @ weight["attn_k"].T).reshape(len(x), groups, size))
        v = (x @ weight["attn_v"].T).reshape(len(x), groups, size)
        out = np.zeros_like(q)
        for head in range(heads):
            group = head * groups // heads
            for t in range(len(x)):
                score = k[: t + 1, group] @ q[t, head] / np.sqrt(size)
                p = np.exp(score - score.max())
                out[t, head] = (p / p.sum()) @ v[: t + 1, group]
        return out.reshape(len(x), -1) @ weight["attn_output"].T

    def _rotate(self, x: np.ndarray) -> np.ndarray:
        size = x.shape[-1]
        angle = np.arange(len(x))[:, None] * self["rope.freq_base"] ** (
            -np.arange(0, size, 2) / size
        )
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angle)[:, None, :]
        out = np.empty_like(x)
        out[..., 0::2], out[..., 1::2] = turned.real, turned.imag
        return out


_LAYER_TENSORS = (
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
)
