"""The neuron step in hardware: the same lines as reference and kernel, in a pipeline of three registers.

The first holds the products, the second the drive and the leaked potential, the third the clamped sum; what follows compares and
resets. The unit gain of folded static norms has no multiplier, nor has any gain of a chip that shifts and adds; a constant shift is wiring, and
a clamp exists only where a width is not proven.
"""

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from spikefold.hw.gateware.layer import LayerConfig
from spikefold.network.fields import signed_range

__all__ = ["NeuronStep"]


class NeuronStep(wiring.Component):
    """One lane.

    A neuron's ``current``, ``previous`` potential and parameters in cycle c give ``fired`` and ``potential`` in cycle ``c + NEURON_STEP``.
    Parameters that are constant in this layer, or that it does not use, have no port.
    """

    def __init__(self, layer: LayerConfig) -> None:
        self.layer = layer
        super().__init__(
            {
                "current": In(layer.current_shape),
                "previous": In(layer.potential_shape),
                **{key: In(shape) for key, shape in layer.schedule.neuron_ports.items()},
                "fired": Out(1),
                "potential": Out(layer.potential_shape),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the pipeline."""
        m = Module()
        population, schedule = self.layer.population, self.layer.schedule

        def register(value: Value, name: str) -> Value:
            delayed = Signal(value.shape(), name=name, reset_less=True)
            m.d.sync += delayed.eq(value)
            return delayed

        def parameter(key: str, stage: int) -> Value | int:
            """Return a parameter as it reaches ``stage``: it travels with its neuron, unless it is constant."""
            constant = schedule.constant(key)
            if constant is not None:
                return constant
            value = getattr(self, key)
            for n in range(stage):
                value = register(value, f"{key}_{n}")
            return value

        if self.layer.connection.unit_gain:
            scaled, shift = register(self.current, "scaled"), 0
        else:
            scaled, shift = register(self.product(m, parameter("gain", 0)), "scaled"), parameter("gain_shift", 1)
        drive = register((scaled + ((1 << shift) >> 1)) >> shift, "drive")  # [LIF.1]
        if population.leak_kind == "none":
            leaked = register(register(self.previous, "kept"), "leaked")  # [LIF.2a]
        elif population.leak_kind == "shift":
            leaked = register(register(self.previous - (self.previous >> population.leak_shift), "kept"), "leaked")  # [LIF.2b]
        else:
            half = (1 << population.leak_frac_bits) >> 1
            kept = register(self.previous * parameter("leak", 0), "kept")
            leaked = register((kept + half) >> population.leak_frac_bits, "leaked")  # [LIF.2c]
        summed = register(self.fit(m, leaked + drive, "summed_full"), "summed")  # [LIF.3]
        m.d.comb += self.fired.eq(summed >= parameter("threshold", 3))  # [LIF.4]
        if population.reset == "soft":
            lowered = Mux(self.fired, summed - parameter("decrement", 3), summed)
            m.d.comb += self.potential.eq(self.fit(m, lowered, "lowered_full"))  # [LIF.5a]
        elif population.reset == "hard":
            m.d.comb += self.potential.eq(Mux(self.fired, parameter("load", 3), summed))  # [LIF.5b]
        else:
            m.d.comb += self.potential.eq(summed)  # [LIF.5c]
        return m

    def product(self, m: Module, gain: Value | int) -> Value:
        """Return the current times the gain: by a multiplier, or by shifts that are added up."""
        code = self.layer.gain_code
        if code is None:
            return self.current * gain
        term = data.StructLayout({"exponent": unsigned(code.exponent_bits), "negative": 1, "present": 1})
        terms = Signal(data.ArrayLayout(term, code.terms), name="gain_terms")
        m.d.comb += terms.as_value().eq(gain)
        total: Value = Const(0)
        for place in range(code.terms):
            # Stage by stage, so that each width is written out: `<<` by a signal leaves it to the reader of the Verilog.
            shifted: Value = self.current
            for n, stage in enumerate(terms[place].exponent):
                shifted = Mux(stage, shifted.shift_left(1 << n), shifted)
            total = total + Mux(terms[place].present, Mux(terms[place].negative, -shifted, shifted), 0)
        return total

    def fit(self, m: Module, value: Value, name: str) -> Value:
        """Return ``value`` in the potential's width: clamped where the network saturates, cut where the width is proven."""
        shape = self.layer.potential_shape
        full = Signal(value.shape(), name=name)
        m.d.comb += full.eq(value)
        if not self.layer.population.saturate:
            return full[: shape.width].as_signed()
        low, high = signed_range(shape.width)
        return Mux(full < low, low, Mux(full > high, high, full[: shape.width].as_signed()))
