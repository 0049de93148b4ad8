"""Running a build in a Verilog simulator, and reading its log."""
