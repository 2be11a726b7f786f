"""The subcommands, in the order of the recipe. Each module has `add`, which declares its
options."""

from . import curve, distill, evaluate, export, grow, inflate, tokenizer, train

ALL = (tokenizer, train, grow, distill, evaluate, export, inflate, curve)
