"""Training a draft from a target.

The teacher runs on each batch as it comes; nothing is stored. The tree of a run holds the draft
under `params`; with `feature` the projections beside it, with `online` the teacher and its
optimizer state as well (`teacher`, `teacher_optimizer`), so that the pair resumes together.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from .corpus import read_corpus
from .data import CHUNK, TaleStream
from .distillation_losses import LossWeights, divergence, initial_projections, student_loss
from .errors import TrainingError
from .loop import Cadence, Plan, Run, Step, prepare, run_loop
from .losses import cross_entropy
from .model import ModelConfig, Params, initial_params, trace
from .models import TrainedModel, load_model, vocabulary_beside
from .optimizer import OptimizerConfig, apply, make_optimizer
from .schedule import Schedule, parse_context_plan
from .train import held_out_validator
from .validation import loss_function

DRAFT = ModelConfig(width=128, layers=2, query_heads=2, kv_heads=1, ffn_width=512)


@dataclass(frozen=True)
class DistillConfig:
    """Everything that decides a run's numbers, but the teacher's checkpoint."""

    model: ModelConfig = DRAFT
    weights: LossWeights = field(default_factory=LossWeights)
    schedule: Schedule = field(default_factory=lambda: Schedule(stable_steps=300, decay_steps=700))
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    seed: int = 1
    chunk: int = CHUNK
    batch_chunks: int = 4
    context_plan: str = "256"
    embedding_from_teacher: bool = True
    teacher_rate_ratio: float = 0.1  # online: the teacher's rate over the student's

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def distill(
    config: DistillConfig, teacher_path: Path, corpus_path: Path, out: Path, cadence: Cadence
) -> None:
    """Trains the draft, or goes on from the latest checkpoint in `out`."""
    teacher = load_model(teacher_path)
    vocabulary = vocabulary_beside(teacher_path)
    if config.model.vocabulary != teacher.config.vocabulary:
        model = dataclasses.replace(config.model, vocabulary=teacher.config.vocabulary)
        config = dataclasses.replace(config, model=model)
    corpus = read_corpus(corpus_path)
    stream = TaleStream(vocabulary.encode_tales(corpus.training_tales), config.seed, config.chunk)
    validator = held_out_validator(vocabulary, corpus)
    losses = loss_function(config.model)
    run = Run(out, f"distill {config.weights.kind}", config.as_dict(), cadence)
    prepare(run, vocabulary.path)
    run_loop(
        run,
        Plan(config.schedule, parse_context_plan(config.context_plan), config.batch_chunks),
        initial_tree(config, teacher),
        make_step(config, teacher.config),
        stream,
        lambda tree: {"bits_per_byte": validator.bits_per_byte(tree["params"], losses)},
        frozen=teacher.params,
    )


def initial_tree(config: DistillConfig, teacher: TrainedModel) -> Any:
    """The draft, what else learns, and the optimizers' states."""
    params_key, projection_key = jax.random.split(jax.random.key(config.seed))
    params = initial_params(config.model, params_key)
    if config.embedding_from_teacher:
        params["embedding"] = reduced_embedding(teacher.params["embedding"], config.model.width)
    learned: dict[str, Any] = {"params": params}
    if config.weights.kind == "feature":
        learned["projections"] = initial_projections(config.model, teacher.config, projection_key)
    transform = make_optimizer(config.optimizer)
    tree = {**learned, "optimizer": transform.init(learned)}
    if config.weights.kind == "online":
        own = jax.tree.map(jnp.array, teacher.params)
        tree |= {"teacher": own, "teacher_optimizer": transform.init(own)}
    return tree


def reduced_embedding(embedding: jax.Array, width: int) -> jax.Array:
    """The best approximation of the teacher's embedding in `width` dimensions: its first principal
    axes.

    [V, teacher width] to [V, width]; inner products between tokens are kept as well as they can be.
    """
    if width > embedding.shape[1]:
        raise TrainingError(
            "the draft is wider than its teacher", "make it narrower, or --fresh-embedding"
        )
    u, s, _ = jnp.linalg.svd(embedding, full_matrices=False)
    return u[:, :width] * s[:width]


def make_step(config: DistillConfig, teacher: ModelConfig) -> Step:
    """One update of the draft, and of the teacher if the kind is `online`, on a batch [B, T +
    1]."""
    transform = make_optimizer(config.optimizer)
    weights = config.weights
    with_scores = weights.kind == "attention"

    def loss(
        learned: Any, teacher_trace: Any, tokens: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        student = trace(learned["params"], tokens[:, :-1], config.model, with_scores=with_scores)
        terms = student_loss(
            student, teacher_trace, tokens[:, 1:], learned.get("projections"), weights
        )
        return terms["loss"], terms

    def step(
        tree: Any, tokens: jax.Array, rate: jax.Array, frozen: Params
    ) -> tuple[Any, dict[str, jax.Array]]:
        taught = tree.get("teacher", frozen)
        shown = None
        if weights.kind != "none":
            shown = trace(taught, tokens[:, :-1], teacher, with_scores=with_scores)
            shown = jax.lax.stop_gradient(shown)
        learned = {name: tree[name] for name in ("params", "projections") if name in tree}
        (_, terms), gradients = jax.value_and_grad(loss, has_aux=True)(learned, shown, tokens)
        updates, state = transform.update(gradients, tree["optimizer"], learned)
        new_tree = {**tree, **apply(learned, updates, rate), "optimizer": state}
        if weights.kind == "online":
            taught_rate = rate * config.teacher_rate_ratio
            new_tree |= _teach(config, teacher, tree, tokens, taught_rate)
        return new_tree, terms

    return step


def _teach(
    config: DistillConfig, shape: ModelConfig, tree: Any, tokens: jax.Array, rate: jax.Array
) -> dict[str, Any]:
    """The online teacher's own update, from the text and from the student as it was before this
    step."""
    student = jax.lax.stop_gradient(trace(tree["params"], tokens[:, :-1], config.model).logits)

    def loss(params: Params) -> jax.Array:
        logits = trace(params, tokens[:, :-1], shape).logits
        pull = divergence(logits, student, config.weights.temperature)
        return cross_entropy(logits, tokens[:, 1:]) + config.weights.mutual_weight * pull

    gradients = jax.grad(loss)(tree["teacher"])
    updates, state = make_optimizer(config.optimizer).update(
        gradients, tree["teacher_optimizer"], tree["teacher"]
    )
    return {"teacher": apply(tree["teacher"], updates, rate), "teacher_optimizer": state}
