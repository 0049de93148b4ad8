"""The build folder that is written: Verilog, memory images, benches, vectors and documents."""
