"""The chip in Amaranth, the Verilog generated from it, and its verification; the only folder that imports amaranth."""
