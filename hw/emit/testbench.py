"""The Verilog around the chip in simulation: a harness that logs traces, and a bench that checks itself without Python."""

from importlib import resources

from spikefold.hw.gateware.interface import Interface

__all__ = ["cocotb_bench", "harness", "self_checking_bench", "template"]


def wide(width: int) -> str:
    """Return the range of a Verilog declaration."""
    return f"[{width - 1}:0] " if width > 1 else ""


def instance(interface: Interface, parameters: str = "") -> str:
    """Return the chip's instantiation; clock, reset and streams have the names of its ports."""
    connections = ",\n".join(f"        .{name}({name})" for name in ("clk", "rst", *(port.name for port in interface.streams)))
    return f"    {interface.top} {parameters}dut (\n{connections}\n    );\n"


def cocotb_bench(interface: Interface) -> dict[str, str]:
    """Return the files of the bench that cocotb runs, by name."""
    bench = "test_spikefold.py"
    return {"harness.v": harness(interface), bench: template(bench)}


def template(name: str) -> str:
    """Return a file that is the same for every chip whose top module has the name that it has by default."""
    return resources.files("spikefold.hw.emit").joinpath("templates", name).read_text(encoding="utf-8")


def harness(interface: Interface) -> str:
    """Return a module with the chip's ports that writes what happens to ``trace.log``, a line a fact.

    ``S cycle``: a step starts. ``E core cycle event``: a core takes an event. ``W core cycle word fired potentials``: a word was
    updated. ``O cycle data user last``: the host takes a result beat. ``R cycle``: a reset; steps and results are counted
    from there. ``A cycle``: a rule of AXI-Stream is broken, as a valid or ready is unknown, or a result that was offered is
    gone or changed before it was taken. Cycles are decimal, the rest hexadecimal.

    ``s_axis_next`` rises with each edge of the clock on which the host's beat was taken, or none was offered: the source
    then drives the next beat. A bench in Python sleeps until then. It sees the same in every simulator, whether that shows
    values from before an edge or from behind it.
    """
    declared = "".join(f"    {'input' if p.is_input else 'output'} wire {wide(p.width)}{p.name},\n" for p in interface.streams)
    offered = interface.score_width + interface.label_width + 1
    per_core = "".join(
        f"""
            if (dut.traced.trace_{d}_event_valid) $fwrite(log, "E {d} %0d %h\\n", cycle, dut.traced.trace_{d}_event);
            if (dut.traced.trace_{d}_swept_valid)
                $fwrite(log, "W {d} %0d %h %h %h\\n", cycle,
                    dut.traced.trace_{d}_word, dut.traced.trace_{d}_fired, dut.traced.trace_{d}_potential);"""
        for d in range(interface.depth)
    )
    return f"""// Simulation only: the chip and a log of all that its trace ports show.
module harness (
    input wire clk,
    input wire rst,
{declared}    output reg s_axis_next,
    output reg [31:0] steps,
    output reg [31:0] results
);
{instance(interface)}
    integer log;
    integer cycle;
    reg was_reset, waiting;
    reg [{offered - 1}:0] offered;

    initial begin
        log = $fopen("trace.log", "w");
        cycle = 0;
        steps = 0;
        results = 0;
        was_reset = 0;
        waiting = 0;
        s_axis_next = 0;
    end

    always @(posedge clk or negedge clk) s_axis_next <= clk && !rst && (s_axis_tready || !s_axis_tvalid);

    always @(posedge clk) begin
        cycle <= cycle + 1;
        was_reset <= rst;
        waiting <= !rst && m_axis_tvalid && !m_axis_tready;
        offered <= {{m_axis_tdata, m_axis_tuser, m_axis_tlast}};
        if (rst) begin
            if (!was_reset) $fwrite(log, "R %0d\\n", cycle);
            steps <= 0;
            results <= 0;
        end else begin{per_core}
            if (^{{s_axis_tready, m_axis_tvalid}} === 1'bx
                    || waiting && (!m_axis_tvalid || offered !== {{m_axis_tdata, m_axis_tuser, m_axis_tlast}}))
                $fwrite(log, "A %0d\\n", cycle);
            if (m_axis_tvalid && m_axis_tready) begin
                $fwrite(log, "O %0d %h %h %h\\n", cycle, m_axis_tdata, m_axis_tuser, m_axis_tlast);
                results <= results + 1;
            end
            if (dut.traced.trace_start) begin
                $fwrite(log, "S %0d\\n", cycle);
                $fflush(log);
                steps <= steps + 1;
            end
        end
    end
endmodule
"""


def load(name: str) -> str:
    """Return the statements that read a vector file."""
    path = f'{{BUILD, "vectors/{name}.hex"}}'
    return f"        need({path});\n        $readmemh({path}, {name});\n"


def self_checking_bench(interface: Interface, counts: dict[str, int], watchdog_cycles: int) -> str:
    """Return a bench that plays ``vectors/`` and compares all that the trace ports show; it needs no Python.

    ``counts`` are the lines of each vector file. It prints ``PASS`` and ends with status 0, or prints at most 10 differences and ``FAIL``, and ends
    with status 1.
    """
    checks = []
    for d, layer in enumerate(interface.layers):
        event, swept = layer.source_events.size, 32 + layer.word_bits + layer.lanes * (1 + layer.population.potential_bits)
        checks.append((f"events_{d}", f"dut.traced.trace_{d}_event_valid", f"{{cycle, dut.traced.trace_{d}_event}}", 32 + event))
        fields = ", ".join(f"dut.traced.trace_{d}_{name}" for name in ("word", "fired", "potential"))
        checks.append((f"updates_{d}", f"dut.traced.trace_{d}_swept_valid", f"{{cycle, {fields}}}", swept))
    checks.append(("cycles", "dut.traced.trace_start && steps != 0", "cycle", 32))
    label = f"m_axis_tlast ? m_axis_tuser : {interface.label_width}'d0"
    width = 32 + 1 + interface.label_width + interface.score_width
    checks.append(("results", "m_axis_tvalid && m_axis_tready", f"{{cycle, m_axis_tlast, {label}, m_axis_tdata}}", width))
    declared = "".join(f"    reg [{width - 1}:0] {name} [0:{max(counts[name], 1) - 1}];\n    integer {name}_seen;\n" for name, _, _, width in checks)
    loaded = "".join(load(name) for name, _, _, _ in checks if counts[name])
    loaded += "".join(f"        {name}_seen = 0;\n" for name, _, _, _ in checks)
    compared = "".join(
        f"""
            if ({condition}) begin
                if ({name}_seen >= {counts[name]} || {value} !== {name}[{name}_seen]) begin
                    differences = differences + 1;
                    if (differences > 10) begin
                        $display("FAIL: more than 10 differences");
                        $fatal(0);
                    end
                    $display("{name} %0d: expected %h, got %h", {name}_seen, {name}[{name}_seen], {value});
                end
                {name}_seen = {name}_seen + 1;
            end"""
        for name, condition, value, _ in checks
    )
    missing = " || ".join(f"{name}_seen != {counts[name]}" for name, _, _, _ in checks)
    total = " + ".join(f"{name}_seen" for name, _, _, _ in checks)
    chip = instance(interface, '#(.MEM({BUILD, "mem/"})) ')
    wires = "".join(f"    {'reg' if p.is_input else 'wire'} {wide(p.width)}{p.name};\n" for p in interface.streams)
    return f"""// A self-checking bench for any Verilog simulator.
// BUILD is the build folder, with a slash at its end; by default, it is the folder that the bench runs in.
module selfcheck;
    parameter BUILD = "./";
    reg clk, rst;
{wires}{chip}
    reg [{interface.input_width}:0] stimulus [0:{counts["stimulus"] - 1}];
    integer sent, idle, differences, steps;
    reg accepted;
    reg [31:0] cycle;
{declared}
    // Without its vectors a bench compares nothing.
    task need(input [8*4096-1:0] path);
        integer file;
        begin
            file = $fopen(path, "r");
            if (file == 0) begin
                $display("FAIL: %0s: it cannot be read", path);
                $fatal(0);
            end
            $fclose(file);
        end
    endtask

    initial begin
{load("stimulus")}{loaded}        clk = 0;
        rst = 1;
        sent = 0;
        idle = 0;
        steps = 0;
        differences = 0;
        cycle = 0;
        s_axis_tvalid = 0;
        s_axis_tdata = 0;
        s_axis_tlast = 0;
        m_axis_tready = 1;
        repeat (4) @(negedge clk);
        rst = 0;
        {{s_axis_tlast, s_axis_tdata}} = stimulus[0];
        s_axis_tvalid = 1;
    end

    always #5 clk = !clk;

    // Inputs change on the falling edge, so that every simulator samples the same values on the rising one.
    always @(negedge clk) if (!rst && accepted) begin
        sent = sent + 1;
        s_axis_tvalid = sent < {counts["stimulus"]};
        if (sent < {counts["stimulus"]}) {{s_axis_tlast, s_axis_tdata}} = stimulus[sent];
    end

    always @(posedge clk) begin
        accepted <= !rst && s_axis_tvalid && s_axis_tready;
        if (!rst) begin
            cycle <= cycle + 1;
            idle = idle + 1;
            if (idle > {watchdog_cycles}) begin
                $display("FAIL: no step began in {watchdog_cycles} cycles");
                $fatal(0);
            end{compared}
            if (dut.traced.trace_start) begin
                cycle <= 1;
                idle = 0;
                steps = steps + 1;
                if (steps == {counts["cycles"] + 1}) begin
                    if (differences != 0 || {missing}) begin
                        $display("FAIL: %0d differences, %0d values compared", differences, {total});
                        $fatal(0);
                    end
                    $display("PASS: %0d values compared in %0d steps", {total}, steps - 1);
                    $finish;
                end
            end
        end
    end
endmodule
"""
