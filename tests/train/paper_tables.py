"""A small table on the digits, whose rows train in about a second."""

from collections.abc import Mapping
from pathlib import Path

TABLE = """
name = "tiny"
title = "Two normalisations"
source = "Nobody 1999, table 7"
not_given = ["Everything."]
columns = ["test_accuracy", "early_exit", "efficiency_int32", "parameters"]
details = ["accuracy_after_timesteps", "firing_rates"]

[recipe]
seed = 5
timesteps = 3
architecture = "6-{classes}"

[recipe.data]
name = "digits"

[recipe.input]
shape = [1, 8, 8]
coding = "ternary"
mean = 0.0
std = 8.0
scale = 1.0
payload_bits = 2
seed = 9

[recipe.train]
epochs = 2
batch_size = 64
learning_rate = 0.1

[small]
says = "A tenth of everything."
test_samples = 40
changes = { train = { subset = 400 } }

[full]
says = "All of it."

[[axes]]
name = "normalisation"

[[axes.choices]]
label = "BNTT"
changes = { norm = { kind = "bntt" } }

[[axes.choices]]
label = "None at all"
changes = { norm = { kind = "none" } }
small = { train = { epochs = 1 } }
full = { timesteps = 4 }

[[paper]]
row = ["BNTT"]
column = "test_accuracy"
value = "90.5 %"
"""

RATES = """
[[axes]]
name = "learning rate"
best = true
choices = [
    { label = "0.1", changes = { train = { learning_rate = 0.1 } } },
    { label = "1000", changes = { train = { learning_rate = 1000.0 }, neuron = { threshold = 0.001 } } },
]
"""
"""A second axis, decided by the best; the second value is meant to make the loss infinite."""


def write_table(folder: Path, *, more: str = "", changes: Mapping[str, str] | None = None) -> Path:
    """Write the small table, with ``more`` before the paper's figures and ``changes`` of its texts, and return its path."""
    text = TABLE.replace("[[paper]]", f"{more}\n[[paper]]")
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "tiny.toml"
    path.write_text(text)
    return path
