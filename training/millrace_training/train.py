"""Training the storyteller."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .corpus import Corpus, read_corpus
from .data import CHUNK, TaleStream
from .errors import TrainingError
from .loop import Cadence, Plan, Run, Step, prepare, run_loop
from .losses import cross_entropy
from .model import ModelConfig, initial_params, logits
from .optimizer import OptimizerConfig, apply, make_optimizer
from .schedule import Schedule, parse_context_plan
from .validation import Validator, loss_function
from .vocabulary import Vocabulary

VALIDATION_CONTEXT = 512


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run's numbers."""

    model: ModelConfig = field(default_factory=ModelConfig)
    schedule: Schedule = field(default_factory=Schedule)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    seed: int = 1
    chunk: int = CHUNK  # tokens; see `data`
    batch_chunks: int = 4
    context_plan: str = "512"
    remat: bool = False

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def with_layers(self, layers: int) -> TrainConfig:
        return dataclasses.replace(self, model=dataclasses.replace(self.model, layers=layers))


def train_config(values: dict[str, Any]) -> TrainConfig:
    """The reverse of `as_dict`."""
    parts = {
        "model": ModelConfig(**values["model"]),
        "schedule": Schedule(**values["schedule"]),
        "optimizer": OptimizerConfig(**values["optimizer"]),
    }
    return TrainConfig(**{**values, **parts})


@dataclass(frozen=True)
class TrainPaths:
    corpus: Path
    tokenizer: Path
    out: Path
    start: Path | None = None


def train(config: TrainConfig, paths: TrainPaths, cadence: Cadence) -> None:
    """Trains from scratch, from `paths.start`, or on from the latest checkpoint in `paths.out`."""
    vocabulary = Vocabulary(paths.tokenizer)
    if len(vocabulary) != config.model.vocabulary:
        model = dataclasses.replace(config.model, vocabulary=len(vocabulary))
        config = dataclasses.replace(config, model=model)
    contexts = parse_context_plan(config.context_plan)
    if max(c for _, c in contexts) > config.model.context:
        raise TrainingError(
            f"the plan {config.context_plan} goes past the model's context", "raise --context"
        )
    run = Run(paths.out, "train", config.as_dict(), cadence, paths.start)
    prepare(run, paths.tokenizer)
    corpus = read_corpus(paths.corpus)
    stream = TaleStream(vocabulary.encode_tales(corpus.training_tales), config.seed, config.chunk)
    validator = held_out_validator(vocabulary, corpus)
    losses = loss_function(config.model)
    plan = Plan(config.schedule, contexts, config.batch_chunks)
    run_loop(
        run,
        plan,
        initial_tree(config),
        make_step(config),
        stream,
        lambda tree: {"bits_per_byte": validator.bits_per_byte(tree["params"], losses)},
    )


def held_out_validator(vocabulary: Vocabulary, corpus: Corpus) -> Validator:
    """Validation while training: windows that do not overlap, so a little worse than `evaluate`."""
    tokens = np.concatenate(vocabulary.encode_tales(corpus.validation_tales))
    return Validator(tokens, corpus.validation_bytes, VALIDATION_CONTEXT, VALIDATION_CONTEXT)


def initial_tree(config: TrainConfig) -> Any:
    """Parameters and optimizer state before the first step."""
    params = initial_params(config.model, jax.random.key(config.seed))
    return {"params": params, "optimizer": make_optimizer(config.optimizer).init(params)}


def make_step(config: TrainConfig) -> Step:
    """One update on a batch [B, T + 1] at a rate."""
    transform = make_optimizer(config.optimizer)

    def loss(params: Any, tokens: jax.Array) -> jax.Array:
        return cross_entropy(
            logits(params, tokens[:, :-1], config.model, config.remat), tokens[:, 1:]
        )

    def step(
        tree: Any, tokens: jax.Array, rate: jax.Array, frozen: None
    ) -> tuple[Any, dict[str, jax.Array]]:
        value, gradients = jax.value_and_grad(loss)(tree["params"], tokens)
        updates, state = transform.update(gradients, tree["optimizer"], tree["params"])
        return {"params": apply(tree["params"], updates, rate), "optimizer": state}, {"loss": value}

    return step
