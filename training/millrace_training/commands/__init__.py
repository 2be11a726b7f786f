"""The subcommands, in the order of the recipe. Each module has `add`, which declares its
options."""

from . import (
    curve,
    distill,
    evaluate,
    export,
    grow,
    import_model,
    inflate,
    tokenizer,
    train,
    verify,
)

ALL = (
    tokenizer,
    train,
    grow,
    distill,
    evaluate,
    export,
    import_model,
    inflate,
    verify,
    curve,
)
