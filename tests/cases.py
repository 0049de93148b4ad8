"""Boundary vectors, shared by reference, simulator and hardware: tiny networks whose every value was chosen.

Most are one layer of a neuron a channel, driven through identity-like weights, so that ``current`` is what the case says.
"""

from typing import Any, Literal

import numpy as np

from spikefold.data.coding import InputCoding
from spikefold.network.connection import Connection, Weights
from spikefold.network.fields import bits_for
from spikefold.network.network import Network, Readout
from spikefold.network.population import Population
from spikefold.network.schedule import Schedule
from spikefold.network.widths import weighted_bounds
from spikefold.network.windows import layer_shape
from tests.chips import chip_of
from tests.random_networks import Case

__all__ = ["CASES"]


def schedule(values: Any) -> Schedule:
    """A scalar, a list over time or a [T, C] table, as a schedule."""
    array = np.asarray(values, np.int64)
    return Schedule.of(array.reshape(-1, 1) if array.ndim < 2 else array)


def coding(shape: tuple[int, int, int], payload_bits: int) -> InputCoding:
    return InputCoding(
        shape=shape, coding="ternary" if payload_bits == 2 else "direct", mean=0.0, std=1.0, scale=1.0, payload_bits=payload_bits, seed=0
    )


def layer(
    source: str, name: str, shape: tuple[int, int, int], weights: Any, payload: tuple[int, int, int], *,
    pool: int = 1, stride: int = 1, padding: int = 0, gain: Any = 1, gain_shift: Any = 0, reset: Literal["soft", "hard", "none"] = "soft",
    threshold: Any = 1 << 20, decrement: Any = 0, load: Any = 0, leak: Any = 0,
    potential_bits: int = 24, saturate: bool = False, **fields: Any,
) -> tuple[Weights, Connection, Population]:  # fmt: skip
    """One layer; ``payload`` is (least, most, bits) of what feeds it."""
    tensor = np.asarray(weights, np.int8)
    kind: Literal["dense", "conv2d"] = "dense" if tensor.ndim == 2 else "conv2d"
    low, high = weighted_bounds(tensor, pool, *payload[:2])
    connection = Connection(
        source=source, target=name, kind=kind, weights=name, pool=pool, stride=stride, padding=padding, payload_bits=payload[2],
        current_bits=bits_for(int(low.min()), int(high.max())), gain=schedule(gain), gain_shift=schedule(gain_shift),
    )  # fmt: skip
    population = Population(
        name=name, shape=layer_shape(name, kind, shape, pool, tensor.shape, stride, padding), reset=reset, threshold=schedule(threshold),
        decrement=schedule(decrement), load=schedule(load), leak=schedule(leak), potential_bits=potential_bits,
        saturate=saturate, **{"leak_kind": "none"} | fields,
    )  # fmt: skip
    return Weights(id=name, tensor=tensor, bits=8), connection, population


def network(
    layers: list[tuple[Weights, Connection, Population]],
    source: InputCoding,
    timesteps: int,
    decode: Literal["potential", "spike_count"] = "spike_count",
    offset: Any = None,
) -> Network:
    weights, connections, populations = zip(*layers, strict=True)
    classes = populations[-1].shape[0]
    return Network(
        timesteps=timesteps, timesteps_trained=timesteps, input=source, class_names=tuple(map(str, range(classes))), weights=weights,
        connections=connections, populations=populations,
        readout=Readout(decode=decode, offset=np.zeros(classes, np.int64) if offset is None else np.asarray(offset)),
    )  # fmt: skip


def single(
    name: str,
    payloads: Any,
    weights: Any,
    *,
    payload_bits: int = 2,
    lanes: int = 4,
    depth: int = 2,
    decode: Literal["potential", "spike_count"] = "spike_count",
    offset: Any = None,
    **fields: Any,
) -> Case:
    """A dense layer: ``payloads`` [T, inputs] or [N, T, inputs], ``weights`` [out, inputs]."""
    events = np.asarray(payloads, np.int8)
    events = events.reshape(-1 if events.ndim == 3 else 1, *events.shape[-2:], 1, 1)
    source = coding(events.shape[2:], payload_bits)
    built = layer("input", "only", source.shape, weights, (source.payload_min, source.payload_max, payload_bits), **fields)
    chip = chip_of(name="tiny", cores=1, lanes=lanes, event_queue_depth=depth)
    return Case(name=name, network=network([built], source, events.shape[1], decode, offset), chip=chip, events=events)


def image(
    name: str, shape: tuple[int, int, int], marks: list[tuple[int, int, int, int, int]], kernel: Any, timesteps: int, *, lanes: int = 2, **fields: Any
) -> Case:
    """A convolution and a readout that weighs every pixel differently; ``marks`` are (t, channel, y, x, payload)."""
    events = np.zeros((1, timesteps, *shape), np.int8)
    for t, c, y, x, payload in marks:
        events[0, t, c, y, x] = payload
    bits = bits_for(int(events.min()), int(events.max())) if np.abs(events).max() > 1 else 2
    source = coding(shape, bits)
    conv = layer("input", "conv", shape, kernel, (source.payload_min, source.payload_max, bits), **fields)
    pixels = int(np.prod(conv[2].shape))
    readout = layer(
        "conv", "out", conv[2].shape, [np.arange(pixels) % 97 - 48, np.arange(pixels) % 89 + 1], (0, 1, 2), reset="none", threshold=(1 << 24) - 1
    )
    chip = chip_of(name="tiny", cores=2, lanes=lanes, event_queue_depth=1)
    return Case(name=name, network=network([conv, readout], source, timesteps, "potential", [3, -3]), chip=chip, events=events)


def thresholds() -> list[Case]:
    """Sums one below, at and one above the threshold, with each reset, and the two ends of a threshold's range."""
    ones = [[1]] * 3
    resets: dict[str, dict[str, Any]] = {"soft": {"decrement": 5}, "hard": {"load": -2}}
    found = [single(f"threshold -1, 0, +1, {r}", ones, [[4], [5], [6]], threshold=5, reset=r, **f) for r, f in resets.items()]
    found.append(single("negative threshold -1, 0, +1", ones, [[-6], [-5], [-4]], threshold=-5, decrement=3))
    ends = [[-16, 15, 7, 8]] * 3
    found.append(
        single("always, never, at and beyond the greatest potential", ones, [[-100], [100], [100], [100]], threshold=ends, decrement=1,
               potential_bits=4, saturate=True)
    )  # fmt: skip
    never = (1 << 24) - 1
    found.append(single("no reset, firing", ones, [[4], [-5], [6], [1]], threshold=[5, 6, 7], reset="none"))
    return [*found, single("no reset", ones, [[4], [-5], [6]], threshold=never, reset="none", decode="potential")]


def clamps() -> list[Case]:
    """Both ends of the width: in the sum, and in a soft reset by more than the width or by less than nothing."""
    bound: dict[str, Any] = {"potential_bits": 4, "saturate": True}
    return [
        single("sums at, and one beyond, both ends", [[1]] * 2, [[7], [8], [-8], [-9]], threshold=15, decrement=0, **bound),
        single("sums far beyond both ends", [[1], [1], [-1]], [[120], [-120]], threshold=7, decrement=4, **bound),
        single(
            "soft resets beyond both ends", [[1]] * 3, [[7], [7], [7], [7]], threshold=[[7, 7, -8, -8]], decrement=[[15, 16 - 1, -1, -16]], **bound
        ),
        single("hard loads at both ends", [[1], [-1], [1]], [[5], [5]], reset="hard", threshold=3, load=[[-8, 7]], **bound),
        single("a clamped sum fires", [[1]], [[100]], threshold=7, decrement=7, **bound),
        single(
            "a proven width that is just reached", [[[1, 1]], [[-1, -1]]], [[7, 8]] * 2, initial=np.array([-1, 0]), threshold=15, potential_bits=5
        ),
        single("the narrowest width", [[1], [-1], [-1], [1]], [[1], [-2]], threshold=1, decrement=1, potential_bits=2, saturate=True),
    ]


def roundings() -> list[Case]:
    """Half-way values above and below 0, and negative values under each shift."""
    found = []
    for shift in (1, 2, 3):
        half = 1 << (shift - 1)
        near = [[half - 1], [half], [half + 1], [3 * half], [-half + 1], [-half], [-half - 1], [-3 * half]]
        found.append(single(f"drive ties, shift {shift}", [[1], [0], [-1]], near, gain_shift=shift, threshold=1, decrement=1))
        found.append(
            single(f"drive ties by an odd and a negative gain, shift {shift}", [[1]] * 2, near, gain=[3, -3], gain_shift=shift, threshold=100)
        )
        starts = np.array([-8, -5, -4, -3, -2, -1, 1, 3, 4, 7])
        silent = np.zeros((4, 1), np.int8)
        found.append(single(f"leak by shift {shift}", silent, [[0]] * 10, leak_kind="shift", leak_shift=shift, initial=starts, threshold=1 << 20))
        found.append(
            single(f"leak by multiplication, {shift} fraction bits", silent, [[0]] * 10, leak_kind="multiply", leak_frac_bits=shift,
                   leak=[1, (1 << shift) - 1, 1 << shift, 0], initial=starts, threshold=1 << 20)
        )  # fmt: skip
    found.append(single("leak by shift 0 forgets all", [[1], [0]], [[5], [-5]], leak_kind="shift", leak_shift=0, threshold=1 << 20))
    found.append(single("leak of 1 by multiplication", [[1], [0]], [[5], [-5]], leak_kind="multiply", leak=1, threshold=1 << 20))
    found.append(
        single("zero, unit and shifted gains", [[1]] * 3, [[7], [-7]], gain=[[0, 1], [1, 0], [-2, 5]], gain_shift=[0, 1, 2], threshold=6, decrement=6)
    )
    return found


def schedules() -> list[Case]:
    """Every parameter differs in every timestep and channel, so that an off-by-one in either shows."""
    table = np.array([[2, 9, 4], [7, 3, 8], [5, 6, 1], [4, 8, 2]])
    steps: dict[str, Any] = {"threshold": table, "decrement": table // 2 + 1, "load": table - 5}
    ones, weights = [[1]] * 4, [[5], [6], [4]]
    wide = np.arange(28).reshape(4, 7) * 5 % 11
    words: dict[str, Any] = {
        "gain": wide - 4, "gain_shift": wide % 4, "leak_kind": "multiply", "leak": wide, "leak_frac_bits": 4, "threshold": wide,
        "decrement": wide // 2 + 1, "load": wide - 5, "initial": np.arange(7) - 3, "lanes": 2,
    }  # fmt: skip
    spread = np.arange(7)[:, None] * 3 - 8
    return [
        single("schedules over several words, soft", ones, spread, reset="soft", **words),
        single("schedules over several words, hard", ones, spread, reset="hard", **words),
        single("schedules, soft", ones, weights, reset="soft", **steps),
        single("schedules, hard", ones, weights, reset="hard", **steps),
        single("schedules of gain, shift and leak", ones, weights, gain=table - 4, gain_shift=table % 3, leak_kind="multiply", leak=table,
               leak_frac_bits=4, threshold=table, decrement=table),
        single("silent neurons fire as thresholds fall", [[1], [0], [0], [0]], [[5], [3], [9]], threshold=[10, 9, 5, 3], decrement=2),
        single("initial potentials fire at once", [[0], [0]], [[1]] * 3, initial=np.array([4, 5, 6]), threshold=5, decrement=5),
        single("three inferences start alike", [[[1], [0]], [[0], [0]], [[1], [1]]], [[3], [-3]], initial=np.array([2, -2]), threshold=[6, 1],
               decrement=1),
        single("one timestep", [[1, -1, 1]], [[1, 2, 3], [-1, -2, -3]], threshold=2, decrement=1),
    ]  # fmt: skip


def payloads() -> list[Case]:
    """Negative and graded payloads, many channels a word, the extremes of the current."""
    graded = [[31, -31, 1], [-31, 31, -1], [0, 15, -16]]
    return [
        single("negative payloads", [[-1, 1], [1, -1], [-1, -1]], [[5, -3], [-128, 127], [127, -128]], threshold=8, decrement=8),
        single("graded payloads", graded, [[127, -128, 3], [-1, 1, 2]], payload_bits=6, threshold=500, decrement=400),
        single("the extremes of the current", [[1, 1, 1], [-1, -1, -1]], [[127, 127, 127], [-128, -128, -128]], threshold=381, decrement=381),
        single("a word of spikes and a part of the next", [[1]] * 2, np.arange(1, 12)[:, None], lanes=4, threshold=[3, 6], decrement=1),
        single("one lane", [[1, 0], [1, 1]], np.arange(10).reshape(5, 2), lanes=1, depth=1, threshold=4, decrement=4),
        single("more lanes than neurons", [[1, 0], [1, 1]], np.arange(6).reshape(3, 2), lanes=16, depth=16, threshold=4, decrement=4),
        single("scores that tie", [[1]] * 2, [[1], [5], [5], [-5]], threshold=5, decrement=5),
    ]


def geometries() -> list[Case]:
    """Corners, strides, padding, and the odd edge that pooling leaves out; the kernel's weights all differ."""
    kernel = np.arange(1, 19).reshape(2, 1, 3, 3) - 9
    corners = [(0, 0, 0, 0, 1), (0, 0, 4, 4, -1), (1, 0, 0, 4, 1), (2, 0, 4, 0, 1), (3, 0, 2, 2, 1)]
    fields: dict[str, Any] = {"threshold": 4, "decrement": 4}
    size = (1, 5, 5)
    found = [image(f"corners, padding {p}, stride {s}", size, corners, kernel, 4, padding=p, stride=s, **fields) for p in (0, 1, 2) for s in (1, 2)]
    wide = np.arange(2 * 2 * 2 * 3).reshape(2, 2, 2, 3) - 11
    rest = [(0, 0, 4, 2, 1), (0, 1, 1, 6, 1), (1, 1, 0, 0, 1), (1, 1, 1, 1, 1), (2, 0, 3, 5, 1), (2, 0, 2, 4, -1), (2, 1, 2, 4, 1)]
    found.append(image("a kernel that is not square", (2, 5, 7), rest, wide, 3, stride=2, padding=1, **fields))
    found.append(image("pooling by 2 leaves the odd edge out", (2, 5, 7), rest, wide, 3, pool=2, **fields))
    edge = [(0, 0, 4, 1, 1), (0, 0, 0, 0, 1), (1, 0, 1, 4, 1), (1, 0, 4, 4, 1)]
    found.append(image("pooling by 2 leaves the odd edge out under padding", (1, 5, 5), edge, kernel, 3, pool=2, padding=1, **fields))
    found.append(image("pooling by 3", (2, 7, 9), rest, wide, 3, pool=3, padding=1, **fields))
    found.append(
        image("only events that pooling leaves out", (1, 5, 5), [(0, 0, 4, 1, 1), (1, 0, 1, 4, 1)], kernel[:, :, :2, :2], 2, pool=2, **fields)
    )
    cancel = [(0, 0, 0, 0, 1), (0, 0, 0, 1, -1), (1, 0, 1, 1, 5), (1, 0, 0, 0, -7)]
    found.append(image("pooled payloads that cancel, and graded ones", (1, 4, 4), cancel, kernel[:, :, :2, :2], 2, pool=2, **fields))
    found.append(
        image("a kernel of 1", (3, 2, 2), [(0, 2, 1, 0, 1), (1, 0, 0, 1, -1)], np.arange(6).reshape(2, 3, 1, 1) - 2, 2, threshold=2, decrement=1)
    )
    full = [(t, 0, y, x, 1) for t in range(3) for y in range(5) for x in range(5)]
    found.append(image("every pixel at once", size, full, kernel, 3, lanes=1, padding=1, **fields))
    return found


def limits() -> list[Case]:
    """The ends of what the fields of the contract can hold."""
    low, high, wide = -(1 << 31), (1 << 31) - 1, 1 << 32
    top = 1 << 23
    ends: dict[str, Any] = {"potential_bits": 32, "saturate": True}
    starts = np.array([low, high, -1, 1, low + 1, high - 1])
    # A current of 128 times 2**23 is half of 2**31: a tie.
    ties = [[127, 1], [-127, -1], [127, 0], [-127, -2], [127, 127], [0, 0]]
    signs = [[1, 1], [-1, -1], [1, 1], [127, 127], [-128, -128]]
    silent = np.zeros((3, 1), np.int8)
    words: dict[str, Any] = {
        "initial": starts, "threshold": [[-wide, wide - 1, -1, high, low, high - 1]], "decrement": [[wide - 1, 0, -wide, 1, -1, wide - 1]],
        "load": [[high, low, low, low, high, -1]], "leak_kind": "multiply", "leak": [[1 << 16, (1 << 16) - 1, 1 << 15, 1 << 16, 1, (1 << 16) - 1]],
        "leak_frac_bits": 16, "gain": [[top - 1, -top, top - 1, -top, top - 1, -top]], "gain_shift": [0, 31, 1, 7], "lanes": 2,
    }  # fmt: skip
    strong, kicks = [[127], [-128], [1], [-1], [-127], [64]], [[127], [-127], [1], [-1]]
    never: dict[str, Any] = {"threshold": wide - 1, "reset": "none"}
    square = [(0, 0, 0, 0, 1), (0, 1, 3, 3, 1), (1, 0, 3, 0, -1), (2, 1, 0, 3, 1), (3, 1, 2, 1, 1)]
    return [
        single("gains of 24 bits under a shift of 31", ties, signs, payload_bits=8, gain=[[top - 1, -top, -top, top - 1, -top]], gain_shift=31,
               threshold=[[1, 1, 0, 127, 128]], decrement=1, **ends),
        single("every field at its ends, soft", kicks, strong, payload_bits=8, reset="soft", **words, **ends),
        single("every field at its ends, hard", kicks, strong, payload_bits=8, reset="hard", **words, **ends),
        single("leaks of 16 fraction bits at both ends of 32 bits", silent, [[0]] * 6, initial=starts, leak_kind="multiply", leak_frac_bits=16,
               leak=[1 << 16, (1 << 16) - 1, 1], threshold=wide - 1, **ends),
        single("leak by shift 31 at both ends of 32 bits", silent, [[0]] * 6, initial=starts, leak_kind="shift", leak_shift=31, threshold=high,
               decrement=wide - 1, **ends),
        single("scores of 33 bits", [[1]], [[1], [-1], [0], [0]], decode="potential", initial=np.array([high, low, high, low]),
               offset=[high, low, low, high], **never, **ends),
        single("an offset that outweighs every spike", [[1], [1]], [[1], [-1]], threshold=1, offset=[low, high]),
        single("one class, one timestep, one input", [[-1]], [[-128]], lanes=1, depth=1, threshold=128, decrement=128, potential_bits=9),
        single("sizes that are powers of two", np.eye(4), np.arange(32).reshape(8, 4) - 16, depth=4, threshold=8, decrement=8),
        image("an image of powers of two", (2, 4, 4), square, np.arange(1, 73).reshape(4, 2, 3, 3) - 37, 4, padding=1, threshold=16, decrement=16),
    ]  # fmt: skip


CASES: tuple[Case, ...] = (*thresholds(), *clamps(), *roundings(), *schedules(), *payloads(), *geometries(), *limits())
