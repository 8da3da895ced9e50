// Splits a rectangle of rows and planes into AXI bursts of at most 16 beats that end where a
// multiple of 128 bytes does, so that none crosses a page of 4 KiB.
`include "jc_regs.svh"

module jc_walk (
  input  logic         clk_i,
  input  logic         rst_ni,
  input  logic         start_i,       // takes the descriptor; not while busy
  input  logic [511:0] descriptor_i,
  output logic         busy_o,
  output logic [31:0]  address_o,     // of the burst
  output logic [4:0]   beats_o,
  output logic         last_o,        // of the descriptor
  input  logic         next_i
);
  logic [31:0] address_q, row_q, plane_q, row_stride_q, plane_stride_q;
  logic [15:0] left_q, rows_left_q, planes_left_q, row_beats_q, rows_q;
  logic [4:0] room, beats;
  logic ends_row, ends_plane;
  assign room = 5'd16 - {1'b0, address_q[6:3]};
  assign beats = (left_q < 16'(room)) ? left_q[4:0] : room;
  assign ends_row = left_q == 16'(beats);
  assign ends_plane = ends_row && rows_left_q == 16'd1;
  assign last_o = ends_plane && planes_left_q == 16'd1;
  assign address_o = address_q;
  assign beats_o = beats;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      busy_o <= 1'b1;
      address_q <= `JC_LOAD_ADDRESS(descriptor_i);
      row_q <= `JC_LOAD_ADDRESS(descriptor_i);
      plane_q <= `JC_LOAD_ADDRESS(descriptor_i);
      row_stride_q <= `JC_LOAD_ROW_STRIDE(descriptor_i);
      plane_stride_q <= `JC_LOAD_PLANE_STRIDE(descriptor_i);
      row_beats_q <= `JC_LOAD_ROW_BEATS(descriptor_i);
      rows_q <= `JC_LOAD_ROWS(descriptor_i);
      left_q <= `JC_LOAD_ROW_BEATS(descriptor_i);
      rows_left_q <= `JC_LOAD_ROWS(descriptor_i);
      planes_left_q <= `JC_LOAD_PLANES(descriptor_i);
    end else if (busy_o && next_i) begin
      busy_o <= !last_o;
      left_q <= ends_row ? row_beats_q : left_q - 16'(beats);
      address_q <= address_q + {24'b0, beats, 3'b000};
      if (ends_row) begin
        rows_left_q <= rows_left_q - 16'd1;
        row_q <= row_q + row_stride_q;
        address_q <= row_q + row_stride_q;
      end
      if (ends_plane) begin
        rows_left_q <= rows_q;
        planes_left_q <= planes_left_q - 16'd1;
        plane_q <= plane_q + plane_stride_q;
        row_q <= plane_q + plane_stride_q;
        address_q <= plane_q + plane_stride_q;
      end
    end
    if (!rst_ni) busy_o <= 1'b0;
  end
endmodule
