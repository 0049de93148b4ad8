// Synchronous read-only memory: `data` follows `address` by one clock cycle. Its words are in the hexadecimal file INIT of the folder MEM, whose name
// ends in a slash. Without INIT, as when a tool reads this file alone, nothing is loaded.
module spikefold_rom #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter ADDRESS = 1,
    parameter MEM = "./",
    parameter INIT = ""
) (
    input wire clk,
    input wire [ADDRESS-1:0] address,
    output reg [WIDTH-1:0] data
);
    reg [WIDTH-1:0] words [0:DEPTH-1];

    generate
        if (INIT != "") begin : image
            initial $readmemh({MEM, INIT}, words);
`ifndef SYNTHESIS
            // A simulator only warns of a file that is not there, and goes on with unknown words.
            integer file;
            initial begin
                file = $fopen({MEM, INIT}, "r");
                if (file == 0) begin
                    $display("FAIL: %0s%0s: it cannot be read", MEM, INIT);
                    $fatal(0);
                end
                $fclose(file);
            end
`endif
        end
    endgenerate

    always @(posedge clk) data <= words[address];
endmodule
