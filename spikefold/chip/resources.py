"""What a core takes of a device, estimated: its memories, their block RAMs, and its multipliers.

The memories are exact (the hardware's tests hold them against the Verilog's). How a vendor's tools map them is estimated: a memory that
is written takes at least one block RAM, in whichever aspect ratio takes the fewest; a small read-only one becomes logic. Tools may make logic
of more memories: a network for an ECP5-85F takes 120 block RAMs after place and route, and 174 by this estimate.
"""

from dataclasses import dataclass

from spikefold.chip.architecture import Architecture
from spikefold.chip.core import CorePlan
from spikefold.chip.device import Device
from spikefold.chip.parameters import layer_parameters
from spikefold.network.fields import SPIKE_PAYLOAD_BITS, address_bits
from spikefold.network.network import Network

__all__ = ["Memory", "block_rams", "core_memories", "multipliers"]

LOGIC_ROM_BITS = 256
"""A read-only memory of at most so many bits is taken for logic."""
MULTIPLIER_WIDTH = 16
"""The narrower port of an FPGA's multiplier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A memory of a core with one read port and, where ``writable``, one write port."""

    name: str
    words: int
    bits: int
    writable: bool


def core_memories(network: Network, plan: CorePlan, architecture: Architecture) -> tuple[Memory, ...]:
    """Return the memories of one core."""
    index, lanes = plan.index, plan.lanes
    connection, population = network.connections[index], network.populations[index]
    parameters = layer_parameters(network, index, architecture.gain_terms)
    last = index == len(network.populations) - 1
    source_bits = sum(address_bits(size) for size in plan.source_shape) + (network.input.payload_bits if index == 0 else 0)
    waiting = lanes * (1 + network.score_bits) if last else lanes + sum(address_bits(size) for size in plan.shape)

    def table(name: str, rows: int, columns: list[int]) -> Memory:
        return Memory(name=name, words=rows, bits=sum(max(1, most.bit_length()) for most in columns), writable=False)

    memories = [
        table("rows", len(plan.rows), [int(v) for v in plan.rows.max(0)]),
        table("columns", len(plan.columns), [int(v) for v in plan.columns.max(0)]),
        Memory(name="weights", words=len(plan.weights), bits=lanes * network.weights_of(connection).bits, writable=False),
        *(Memory(name=f"bank_{n}", words=plan.words, bits=lanes * connection.current_bits, writable=True) for n in (0, 1)),
        Memory(name="potentials", words=plan.words, bits=lanes * population.potential_bits, writable=True),
        Memory(name="event_queue", words=architecture.event_queue_depth, bits=source_bits, writable=True),
        Memory(name="emitter_queue", words=plan.words, bits=waiting, writable=True),
    ]
    for axes in ("t", "c", "tc"):
        held = [p for p in parameters.values() if p.axes == axes]
        if held:
            words = (network.timesteps if "t" in axes else 1) * (plan.groups if "c" in axes else 1)
            memories.append(
                Memory(name=f"schedule_{axes}", words=words, bits=sum(p.bits for p in held) * (lanes if "c" in axes else 1), writable=False)
            )
    if last and network.readout.decode == "spike_count":
        memories.append(Memory(name="counts", words=plan.words, bits=lanes * network.timesteps.bit_length(), writable=True))
    return tuple(memories)


def block_rams(memory: Memory, device: Device) -> int:
    """Return the block RAMs of ``device`` that a memory takes, estimated."""
    if not memory.writable and memory.words * memory.bits <= LOGIC_ROM_BITS:
        return 0
    best = 0
    width = device.block_ram_width
    while width >= 1:
        depth = device.block_ram_bits // width
        count = -(-memory.bits // width) * -(-memory.words // depth)
        best = count if best == 0 else min(best, count)
        width //= 2
    return best


def multipliers(network: Network, plan: CorePlan, architecture: Architecture) -> int:
    """Return the multipliers of a core, estimated: a lane's gain, its leak, and graded payloads, each as wide as its operands."""
    connection, population = network.connections[plan.index], network.populations[plan.index]
    parameters = layer_parameters(network, plan.index, architecture.gain_terms)

    def wide(bits: int) -> int:
        return -(-bits // MULTIPLIER_WIDTH)

    lane = 0
    if "gain" in parameters and not architecture.gain_terms:
        lane += wide(connection.current_bits) * wide(parameters["gain"].bits + (not parameters["gain"].signed))
    if "leak" in parameters:
        lane += wide(population.potential_bits) * wide(parameters["leak"].bits + 1)
    if connection.payload_bits > SPIKE_PAYLOAD_BITS:
        lane += 1
    return lane * plan.lanes
