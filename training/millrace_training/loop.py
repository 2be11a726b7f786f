"""The training loop that `train` and `distill` share, and its run folder.

    config.json               what the run was started with
    tokenizer.model           copy of the vocabulary
    log.jsonl                 losses
    latest.safetensors        the whole tree, step and data position: where a killed run resumes
    stable.safetensors        the last state at the peak rate, from which a run may be continued
    final.safetensors         the state after the last step

A step is a pure function of the tree and of its batch, and a batch one of seed and position, so a
run that was killed anywhere and resumed has the losses of one that was not, bit for bit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from .checkpoint import load_checkpoint, read_state, save_checkpoint
from .data import TaleStream
from .errors import TrainingError
from .progress import Progress
from .schedule import Schedule, context_at

LATEST, STABLE, FINAL = "latest.safetensors", "stable.safetensors", "final.safetensors"
# What may differ between the start of a run and its resumption.
EXTENDABLE = {"schedule", "context_plan"}
# How far a changed schedule may be from the old one where it takes over, in peak rates.
_RATE_JUMP = 0.05

# (tree, tokens [B, T + 1], rate, frozen) -> (tree, values to report); the tree is consumed.
Step = Callable[[Any, jax.Array, jax.Array, Any], tuple[Any, dict[str, jax.Array]]]


@dataclass(frozen=True)
class Cadence:
    """How often things happen, in steps; none of it changes the numbers."""

    report: int = 10
    save: int = 50
    validate: int = 250


@dataclass(frozen=True)
class Plan:
    """Which batches, at which rates."""

    schedule: Schedule
    contexts: list[tuple[int, int]]  # see `parse_context_plan`
    batch_chunks: int


@dataclass(frozen=True)
class Run:
    """A folder and what is written into it with each checkpoint."""

    folder: Path
    title: str
    config: dict[str, Any]
    cadence: Cadence
    start: Path | None = None  # a checkpoint to begin from in a new folder


def prepare(run: Run, vocabulary: Path) -> None:
    """Makes the folder, or checks that it belongs to a run of the same configuration."""
    run.folder.mkdir(parents=True, exist_ok=True)
    path = run.folder / "config.json"
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        changed = [k for k in run.config if k not in EXTENDABLE and known.get(k) != run.config[k]]
        if changed:
            raise TrainingError(
                f"{run.folder} holds a run with other {', '.join(changed)}",
                "give its options, or another --out",
            )
    path.write_text(json.dumps(run.config, indent=2) + "\n", encoding="utf-8")
    copy = run.folder / "tokenizer.model"
    if not copy.is_file():
        shutil.copyfile(vocabulary, copy)
    elif copy.read_bytes() != vocabulary.read_bytes():
        raise TrainingError(
            f"{run.folder} was begun with another tokenizer", "give that one, or another --out"
        )


def run_loop(
    run: Run,
    plan: Plan,
    tree: Any,
    step: Step,
    stream: TaleStream,
    validate: Callable[[Any], dict[str, float]],
    frozen: Any = None,
) -> Any:
    """Steps `tree` to the end of the schedule and returns it; resumes from the folder's latest.

    `frozen` is what steps read and never change, such as a teacher.
    """
    schedule, cadence = plan.schedule, run.cadence
    tree, done, position = _resume(run, tree, schedule)
    compiled = jax.jit(step, donate_argnums=0)
    progress = Progress(run.title, done, schedule.total_steps, run.folder / "log.jsonl")
    while done < schedule.total_steps:
        batch = stream.batch(position, plan.batch_chunks, context_at(plan.contexts, done))
        tree, values = compiled(
            tree, jnp.asarray(batch.tokens), jnp.float32(schedule.rate(done)), frozen
        )
        done, position = done + 1, batch.next_position
        jax.block_until_ready(values)
        progress.step(batch.tokens.shape[0] * (batch.tokens.shape[1] - 1))
        last = done == schedule.total_steps
        if done % cadence.report == 0 or last:
            progress.report(done, {name: float(v) for name, v in values.items()})
        if done % cadence.validate == 0 or last:
            progress.validation(done, validate(tree))
        if done % cadence.save == 0 or last or done == schedule.stable_steps:
            _save(run, schedule, tree, done, position)
    progress.close()
    return tree


def _resume(run: Run, tree: Any, schedule: Schedule) -> tuple[Any, int, int]:
    latest = run.folder / LATEST
    source = latest if latest.is_file() else run.start
    if source is None:
        return tree, 0, 0
    state = read_state(source)
    if state["step"] > schedule.total_steps:
        raise TrainingError(
            f"{source} is past step {schedule.total_steps}", "raise --stable-steps or --decay-steps"
        )
    before = Schedule(**state["config"]["schedule"]).rate(state["step"])
    after = schedule.rate(state["step"])
    if abs(after - before) > _RATE_JUMP * schedule.peak_rate:
        raise TrainingError(
            f"the rate would jump from {before:.2g} to {after:.2g} at {source}",
            f"continue from {STABLE} in a new folder with --start, or choose steps that fit",
        )
    return load_checkpoint(source, tree), state["step"], state["position"]


def _save(run: Run, schedule: Schedule, tree: Any, step: int, position: int) -> None:
    stable = schedule.is_stable(step)
    state = {"step": step, "position": position, "stable": stable, "config": run.config}
    save_checkpoint(run.folder / LATEST, tree, state)
    if stable:
        _link(run.folder, STABLE)
    if step == schedule.total_steps:
        _link(run.folder, FINAL)


def _link(folder: Path, name: str) -> None:
    """Gives the latest checkpoint a second name; the next one is another file."""
    partial = folder / (name + ".partial")
    partial.unlink(missing_ok=True)
    partial.hardlink_to(folder / LATEST)
    partial.replace(folder / name)
