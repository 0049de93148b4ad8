"""A small recipe on the digits, which trains in about a second."""


def recipe_text(*, readout: str = "potential", norm: str = "bntt", epochs: int = 3, seed: int = 5) -> str:
    return f"""
name = "small"
seed = {seed}
timesteps = 3
readout = "{readout}"
[data]
name = "digits"
[input]
shape = [1, 8, 8]
coding = "ternary"
mean = 0.0
std = 8.0
scale = 1.0
payload_bits = 2
seed = 9
[neuron]
leak = 0.9
[norm]
kind = "{norm}"
[[layers]]
name = "first"
kind = "conv2d"
out = 4
kernel = 3
padding = 1
[[layers]]
kind = "dense"
out = 6
pool = 2
[[layers]]
kind = "dense"
out = 10
[train]
epochs = {epochs}
batch_size = 64
learning_rate = 0.1
"""
