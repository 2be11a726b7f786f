"""What several tests share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# Tiny programs spend their time in the compiler: keep its work cheap, and share it.
_CACHE = tempfile.TemporaryDirectory(prefix="millrace-training-")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _CACHE.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import pytest
from tales import write_corpus

from millrace_training.corpus import read_corpus
from millrace_training.model import ModelConfig
from millrace_training.vocabulary import Vocabulary, train_vocabulary

TINY = ModelConfig(
    width=32,
    layers=2,
    query_heads=4,
    kv_heads=2,
    head_size=16,
    ffn_width=64,
    vocabulary=400,
    context=128,
)


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "tales")


@pytest.fixture(scope="session")
def vocabulary(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    out = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    return train_vocabulary(read_corpus(corpus_folder).training_tales, 400, out)


@pytest.fixture
def tiny() -> ModelConfig:
    return TINY
