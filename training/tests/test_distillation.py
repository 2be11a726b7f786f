"""The losses of distillation, agreement and the baselines."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_model import random_params, some_tokens

from millrace_training.agreement import measure_agreement
from millrace_training.distill import DistillConfig, initial_tree, make_step, reduced_embedding
from millrace_training.distillation_losses import (
    KINDS,
    LossWeights,
    divergence,
    matched_layers,
    student_loss,
)
from millrace_training.kneser_ney import KneserNey
from millrace_training.model import ModelConfig, trace
from millrace_training.models import TrainedModel
from millrace_training.validation import Validator, loss_function

SMALL = ModelConfig(
    width=16, layers=1, query_heads=1, kv_heads=1, head_size=16, ffn_width=32, vocabulary=400
)


def test_a_model_has_nothing_to_learn_from_itself(tiny) -> None:
    tokens = some_tokens(tiny)
    run = jax.jit(lambda p: trace(p, tokens, tiny, with_scores=True))
    shown = run(random_params(tiny))
    identity = [jnp.eye(tiny.width)] * tiny.layers
    for kind, term in (
        ("response", "response"),
        ("feature", "feature"),
        ("attention", "attention"),
    ):
        terms = student_loss(shown, shown, tokens, identity, LossWeights(kind))
        assert abs(float(terms[term])) < 1e-6
    other = run(random_params(tiny, 9))
    for kind, term in (
        ("response", "response"),
        ("feature", "feature"),
        ("attention", "attention"),
    ):
        assert float(student_loss(other, shown, tokens, identity, LossWeights(kind))[term]) > 1e-3


def test_divergence_is_kullback_and_leiblers() -> None:
    t, z = np.log([[0.5, 0.25, 0.25]]), np.log([[0.25, 0.5, 0.25]])
    assert float(divergence(jnp.array(z), jnp.array(t), 1.0)) == pytest.approx(0.25 * np.log(2))


def test_layers_are_matched_by_depth() -> None:
    assert matched_layers(2, 6) == [(0, 2), (1, 5)] and matched_layers(1, 3) == [(0, 2)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns(kind, tiny) -> None:
    teacher = TrainedModel(None, tiny, random_params(tiny), 0)  # type: ignore[arg-type]
    config = DistillConfig(model=SMALL, weights=LossWeights(kind))
    step, tree = jax.jit(make_step(config, tiny)), initial_tree(config, teacher)
    before = tree.get("teacher")
    losses = []
    for _ in range(15):
        tree, values = step(tree, some_tokens(tiny), jnp.float32(5e-3), teacher.params)
        losses.append(float(values["loss"]))
    assert losses[-1] < 0.95 * losses[0]
    if kind == "online":
        moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), tree["teacher"], before)
        assert min(jax.tree.leaves(moved)) > 0


def test_a_reduced_embedding_keeps_what_fits() -> None:
    low_rank = jax.random.normal(jax.random.key(0), (40, 4)) @ jax.random.normal(
        jax.random.key(1), (4, 12)
    )
    reduced = reduced_embedding(low_rank, 4)
    np.testing.assert_allclose(reduced @ reduced.T, low_rank @ low_rank.T, atol=1e-3)


def test_agreement_is_whole_with_itself_and_less_with_another(tiny) -> None:
    tokens = np.asarray(some_tokens(tiny, 1, 200))[0]
    validator = Validator(tokens, 500, context=64, stride=32)
    model = TrainedModel(None, tiny, random_params(tiny), 0)  # type: ignore[arg-type]
    other = TrainedModel(None, tiny, random_params(tiny, 9), 0)  # type: ignore[arg-type]
    same = measure_agreement(model, model, validator)
    assert same.positions == 199 and same.greedy == 1 and same.overlap == pytest.approx(1, abs=1e-5)
    less = measure_agreement(model, other, validator)
    assert less.greedy < 0.5 and less.overlap < 0.9 and less.divergence > 0.05


def test_bits_per_byte_add_up(tiny) -> None:
    tokens = np.asarray(some_tokens(tiny, 1, 150))[0]
    params, losses = random_params(tiny), loss_function(tiny)
    whole = Validator(tokens, 100, context=160, stride=160).bits_per_byte(params, losses)
    expected = (
        np.asarray(losses(params, tokens[None, :-1], tokens[None, 1:])).sum() / np.log(2) / 100
    )
    assert whole == pytest.approx(expected, rel=1e-5)


def test_kneser_ney_is_a_distribution() -> None:
    random = np.random.default_rng(1)
    tokens = random.integers(0, 6, 400).astype(np.uint16)
    model = KneserNey(tokens, 6, order=3)
    for history in ([1, 2], [5, 5], [3, 0]):
        sums = [model.probabilities(np.array([*history, w]))[-1] for w in range(6)]
        assert sum(sums) == pytest.approx(1) and min(sums) > 0


def test_kneser_ney_equals_the_formula() -> None:
    tokens = np.array([0, 1, 2, 0, 1, 3, 0, 1, 2, 3, 1], np.uint16)
    bigrams = list(itertools.pairwise(tokens.tolist()))
    model, vocabulary = KneserNey(tokens, 4, order=2), 4
    discount = {1: 0.5, 2: 0.75, 3: 0.9}  # what a text this small falls back to

    def interpolate(counts: dict[int, int], token: int, below: float) -> float:
        total, left = sum(counts.values()), sum(discount[min(c, 3)] for c in counts.values())
        count = counts.get(token, 0)
        return max(count - discount.get(min(count, 3), 0), 0) / total + left / total * below

    kinds = {w: len({a for a, b in bigrams if b == w}) for w in range(4)}
    for history, token in itertools.product(range(4), range(4)):
        unigram = interpolate({w: n for w, n in kinds.items() if n}, token, 1 / vocabulary)
        counts = {w: bigrams.count((history, w)) for w in range(4) if (history, w) in bigrams}
        got = model.probabilities(np.array([history, token]))[0]
        assert got == pytest.approx(interpolate(counts, token, unigram))
