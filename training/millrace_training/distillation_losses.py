"""The four classical kinds of distillation, each a loss on a batch.

With student logits z, teacher logits t, both [B, T, V], and a temperature k:

    response    k^2 KL(softmax(t/k) || softmax(z/k)): the student learns the whole distribution
                (Hinton et al. 2015)
    feature     response, and the mean squared distance of matched layers' outputs, normalised to a
                root mean square of 1, the student's through a learned projection (Romero et al.
                2015)
    attention   response, and KL of matched layers' attention maps, averaged over heads (Zagoruyko
                and Komodakis 2017; Wang et al. 2020)
    online      response from a teacher that is learning at the same time: its loss is cross entropy
                and a small KL from the student's distribution (Zhang et al. 2018)
    none        cross entropy alone: the baseline

Every kind adds `cross_entropy_weight` times the cross entropy of the text itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from .losses import cross_entropy
from .model import ModelConfig, Trace

Kind = Literal["response", "feature", "attention", "online", "none"]
KINDS: tuple[Kind, ...] = ("response", "feature", "attention", "online", "none")


@dataclass(frozen=True)
class LossWeights:
    kind: Kind = "response"
    temperature: float = 1.0
    cross_entropy_weight: float = 0.0
    extra_weight: float = 1.0  # of the feature or attention term
    mutual_weight: float = 0.1  # online: of the student's pull on the teacher


def student_loss(
    student: Trace, teacher: Trace, targets: jax.Array, projections: Any, weights: LossWeights
) -> dict[str, jax.Array]:
    """The terms of the student's loss; `loss` is what is descended."""
    text = cross_entropy(student.logits, targets)
    if weights.kind == "none":
        return {"loss": text, "text": text}
    response = divergence(student.logits, teacher.logits, weights.temperature)
    terms = {"response": response, "text": text}
    loss = response + weights.cross_entropy_weight * text
    if weights.kind == "feature":
        terms["feature"] = feature_distance(student, teacher, projections)
        loss = loss + weights.extra_weight * terms["feature"]
    elif weights.kind == "attention":
        terms["attention"] = attention_divergence(student, teacher)
        loss = loss + weights.extra_weight * terms["attention"]
    return {"loss": loss, **terms}


def divergence(student: jax.Array, teacher: jax.Array, temperature: float) -> jax.Array:
    """k^2 KL(teacher || student) at temperature k, in nats, averaged over positions."""
    log_p = jax.nn.log_softmax(teacher / temperature, axis=-1)
    log_q = jax.nn.log_softmax(student / temperature, axis=-1)
    return temperature**2 * jnp.mean(jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1))


def matched_layers(student_layers: int, teacher_layers: int) -> list[tuple[int, int]]:
    """Student layer i goes with the teacher layer at the same relative depth; last with last."""
    return [(i, (i + 1) * teacher_layers // student_layers - 1) for i in range(student_layers)]


def initial_projections(
    student: ModelConfig, teacher: ModelConfig, key: jax.Array
) -> list[jax.Array]:
    """One [student width, teacher width] matrix a student layer."""
    keys = jax.random.split(key, student.layers)
    return [
        student.width**-0.5 * jax.random.normal(k, (student.width, teacher.width)) for k in keys
    ]


def feature_distance(student: Trace, teacher: Trace, projections: list[jax.Array]) -> jax.Array:
    """Mean over matched layers of mean (unit(h_student P) - unit(h_teacher))^2."""
    pairs = matched_layers(len(student.hidden), len(teacher.hidden))
    distances = [
        jnp.mean((_unit(student.hidden[s] @ projections[s]) - _unit(teacher.hidden[t])) ** 2)
        for s, t in pairs
    ]
    return sum(distances) / len(distances)


def attention_divergence(student: Trace, teacher: Trace) -> jax.Array:
    """Mean over matched layers and rows of KL between maps, each averaged over its heads."""
    pairs = matched_layers(len(student.scores), len(teacher.scores))
    values = []
    for s, t in pairs:
        p, q = _mean_map(teacher.scores[t]), _mean_map(student.scores[s])
        values.append(jnp.mean(jnp.sum(p * (jnp.log(p + 1e-9) - jnp.log(q + 1e-9)), axis=-1)))
    return sum(values) / len(values)


def _unit(x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6)


def _mean_map(scores: jax.Array) -> jax.Array:
    """[B, K, G, T, T] scores to [B, T, T] probabilities."""
    return jnp.mean(jax.nn.softmax(scores, axis=-1), axis=(1, 2))
