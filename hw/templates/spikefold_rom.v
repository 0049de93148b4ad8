// Synchronous read-only memory, loaded from a hexadecimal file: `data` follows `address` by one clock cycle.
module spikefold_rom #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter ADDRESS = 1,
    parameter INIT = "image.hex"
) (
    input wire clk,
    input wire [ADDRESS-1:0] address,
    output reg [WIDTH-1:0] data
);
    reg [WIDTH-1:0] words [0:DEPTH-1];

    initial $readmemh(INIT, words);

    always @(posedge clk) data <= words[address];
endmodule
