"""The model, its attention, the optimizer, growth and inflation."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from millrace_training import attention
from millrace_training.errors import TrainingError
from millrace_training.grow import grow_tree, layer_sources
from millrace_training.inflation import Shape, inflate
from millrace_training.model import ModelConfig, initial_params, logits
from millrace_training.optimizer import OptimizerConfig, apply, make_optimizer, orthogonalize
from millrace_training.train import TrainConfig, initial_tree, make_step


def random_params(config: ModelConfig, seed: int = 0):
    """Initial parameters with every zero and one of them made random."""
    leaves, tree = jax.tree.flatten(initial_params(config, jax.random.key(seed)))
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    return tree.unflatten(
        [a + 0.1 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    )


def run(params, tokens, config: ModelConfig) -> np.ndarray:
    """Logits, compiled as one program."""
    return np.asarray(jax.jit(lambda p, t: logits(p, t, config))(params, tokens))


def some_tokens(config: ModelConfig, rows: int = 2, length: int = 24) -> jax.Array:
    return jax.random.randint(jax.random.key(5), (rows, length), 0, config.vocabulary)


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_tiled_attention_equals_plain(blocks: int) -> None:
    keys = jax.random.split(jax.random.key(1), 4)
    q = jax.random.normal(keys[0], (2, 16, 6, 8))
    k, v = (jax.random.normal(key, (2, 16, 3, 8)) for key in keys[1:3])
    weight = jax.random.normal(keys[3], q.shape)
    np.testing.assert_allclose(
        attention.tiled(q, k, v, blocks), attention.plain(q, k, v), atol=2e-6
    )
    plain, tiled = (
        jax.jit(jax.grad(lambda *a, form=form: (form(*a) * weight).sum(), argnums=(0, 1, 2)))(
            q, k, v
        )
        for form in (attention.plain, lambda *a: attention.tiled(*a, blocks))
    )
    for a, b in zip(tiled, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_token_sees_nothing_after_it(tiny: ModelConfig) -> None:
    params, tokens = random_params(tiny), some_tokens(tiny)
    changed = tokens.at[:, 12].set((tokens[:, 12] + 1) % tiny.vocabulary)
    a, b = run(params, tokens, tiny), run(params, changed, tiny)
    np.testing.assert_array_equal(a[:, :12], b[:, :12])
    assert np.abs(a[:, 12:] - b[:, 12:]).max() > 1e-3


def test_rematerialisation_changes_no_gradient(tiny: ModelConfig) -> None:
    params, tokens = random_params(tiny), some_tokens(tiny)
    kept, again = (
        jax.jit(jax.grad(lambda p, remat=remat: jnp.square(logits(p, tokens, tiny, remat)).mean()))(
            params
        )
        for remat in (False, True)
    )
    for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_parameters_are_counted(tiny: ModelConfig) -> None:
    assert (
        sum(a.size for a in jax.tree.leaves(initial_params(tiny, jax.random.key(0))))
        == tiny.parameters
    )


@pytest.mark.parametrize("shape", [(8, 8), (8, 24), (24, 8)])
def test_orthogonalize_evens_out_singular_values(shape: tuple[int, int]) -> None:
    matrix = jax.random.normal(jax.random.key(2), shape) * jnp.linspace(0.5, 3, shape[1])
    values = jnp.linalg.svd(orthogonalize(matrix), compute_uv=False)
    assert float(values.min()) > 0.5 and float(values.max()) < 1.4


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_the_optimizer_descends_and_decays(name, tiny: ModelConfig) -> None:
    config = TrainConfig(model=tiny, optimizer=OptimizerConfig(name))
    step, tree, tokens = jax.jit(make_step(config)), initial_tree(config), some_tokens(tiny)
    losses = []
    for _ in range(12):
        tree, values = step(tree, tokens, jnp.float32(3e-3), None)
        losses.append(float(values["loss"]))
    assert losses[-1] < losses[0] - 0.5
    params = tree["params"]
    transform = make_optimizer(config.optimizer)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = jax.jit(transform.update)(zeros, transform.init(params), params)
    shrunk = apply(params, updates, jnp.float32(1.0))
    assert float(jnp.linalg.norm(shrunk["layers"][0]["q"])) < float(
        jnp.linalg.norm(params["layers"][0]["q"])
    )
    np.testing.assert_array_equal(shrunk["norm"], params["norm"])


def test_growth_keeps_the_function(tiny: ModelConfig) -> None:
    assert layer_sources(2, 5) == [(0, False), (0, True), (0, True), (1, False), (1, True)]
    shallow, deep = TrainConfig(model=tiny), TrainConfig(model=tiny).with_layers(5)
    tree = {**initial_tree(shallow), "params": random_params(tiny)}
    grown = grow_tree(tree, initial_tree(deep), 2, 5)
    tokens = some_tokens(tiny)
    before, after = run(tree["params"], tokens, tiny), run(grown["params"], tokens, deep.model)
    np.testing.assert_allclose(after, before, atol=1e-5)
    _, values = jax.jit(make_step(deep))(grown, tokens, jnp.float32(1e-3), None)
    assert np.isfinite(float(values["loss"]))


@pytest.mark.parametrize(
    "shape",
    [
        Shape(layers=4, width=96, query_heads=9, kv_heads=3, ffn_width=160),
        Shape(layers=3, width=64, query_heads=8, kv_heads=2, ffn_width=96, vocabulary=500),
    ],
)
def test_inflation_keeps_the_function(shape: Shape, tiny: ModelConfig) -> None:
    params, tokens = random_params(tiny), some_tokens(tiny)
    large, config = inflate(params, tiny, shape)
    before, after = run(params, tokens, tiny), run(large, tokens, config)
    old = after[..., : tiny.vocabulary]
    shift = (old - before).mean(axis=-1, keepdims=True)
    spread = before.max() - before.min()
    assert np.abs(old - before - shift).max() < 1e-5 * spread and np.abs(shift).max() < 0.05
    assert after[..., tiny.vocabulary :].max(initial=-1e9) < before.min() - 100
    np.testing.assert_array_equal(after.argmax(-1), before.argmax(-1))


def test_inflation_refuses_to_shrink(tiny: ModelConfig) -> None:
    with pytest.raises(TrainingError, match="shrink"):
        inflate(random_params(tiny), tiny, Shape(width=16))
    with pytest.raises(TrainingError, match="lose query heads"):
        inflate(random_params(tiny), tiny, Shape(query_heads=4, kv_heads=4))
    with pytest.raises(TrainingError, match="wider"):
        inflate(random_params(tiny), tiny, Shape(vocabulary=500))


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(TrainingError, match="query heads"):
        dataclasses.replace(ModelConfig(), query_heads=3)
