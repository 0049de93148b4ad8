"""The cycle contract: every latency and gap of the chip, in clock cycles.

Simulator and hardware read them here, and docs/chip.md prints :func:`table`. Cycles of a step are counted from its start
pulse, which is cycle 0. An event that is taken in a cycle crosses a port at the end of it.
"""

__all__ = [
    "FETCH", "FIRST", "NEURON_STEP", "QUEUED", "QUIET_SEEN", "SETUP", "START", "UPDATE", "WRITE_BACK", "leaves", "table",
]  # fmt: skip

FIRST = 1
"""When the host's first beat can be taken, and when the update reads its first word."""
NEURON_STEP = 3
"""From a neuron's current and potential to its spike and new potential: product, drive, sum."""
UPDATE = 2 + NEURON_STEP
"""From the read of a word to its leaving the update: memories, the registers behind them, the neuron step."""
QUEUED = 1
"""From the cycle in which something is queued to that in which it can be taken out."""
FETCH = 2
"""From the fetch of a queued word to the offer of its first spike or score."""
SETUP = 3
"""From the pop of an event to the read of its first word: pop, tables, sums."""
WRITE_BACK = 3
"""From the read of a current to its write, with the weight added."""
QUIET_SEEN = 1
"""From the first cycle in which all cores are quiet to that in which the barrier knows."""
START = 1
"""From the cycle in which the barrier knows that a step is done to the start pulse of the next."""


def leaves(word: int) -> int:
    """Return the cycle in which a word leaves the update: its potential is written, and its spikes are queued."""
    return FIRST + word + UPDATE


def table() -> list[tuple[str, str]]:
    """Return the rows of docs/chip.md's table: an event of a step, and its cycle."""
    return [
        ("the host's first beat is taken", f"{FIRST} at the earliest, then one a cycle; ready is `open and queue not full`, for ticks too"),
        ("an event taken in cycle c is popped", f"`max(c + {QUEUED}, previous pop + {SETUP} + previous words)`"),
        ("its words are read", f"from pop + {SETUP} on, one a cycle; each is written {WRITE_BACK} cycles after it was read"),
        ("update reads word `w`", f"{FIRST} + w"),
        ("word `w` leaves the update: its potential is written, its spikes are queued", f"{leaves(0)} + w"),
        (
            "the emitter fetches a queued word",
            f"`max(queued + {QUEUED}, last spike sent + 1)`; words without a spike are not queued",
        ),
        ("its first spike is offered", f"fetch + {FETCH}, then one a cycle while the next core is ready"),
        ("a queue of depth D takes event `n`", f"not before the pop of event `n - D`, plus {QUEUED}"),
        ("the readout sends its scores", f"in the final timestep: fetch + {FETCH}, then one a cycle"),
        (
            "the next step starts",
            f"{QUIET_SEEN + START} cycles after the first in which all cores are quiet, or {START} after that in which the tick "
            "was known, whichever is later",
        ),
    ]
