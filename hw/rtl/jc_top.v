// The accelerator under the standard names of AXI, for block designs and for test benches: what
// the core leaves out has the only value that it can have.
module jc_top #(
  parameter Rows = 16,
  parameter Columns = 16,
  parameter Strip = 64,
  parameter Lanes = 8,
  parameter ActivationWords = 8192,
  parameter WeightWords = 10240,
  parameter OutputWords = 2048,
  parameter ParameterWords = 1024
) (
  input  wire        aclk,
  input  wire        aresetn,
  output wire        irq,
  // AXI4-Lite: registers of 32 bits, written whole (strobes are not looked at)
  input  wire [7:0]  s_axi_awaddr,
  input  wire [2:0]  s_axi_awprot,
  input  wire        s_axi_awvalid,
  output wire        s_axi_awready,
  input  wire [31:0] s_axi_wdata,
  input  wire [3:0]  s_axi_wstrb,
  input  wire        s_axi_wvalid,
  output wire        s_axi_wready,
  output wire [1:0]  s_axi_bresp,
  output wire        s_axi_bvalid,
  input  wire        s_axi_bready,
  input  wire [7:0]  s_axi_araddr,
  input  wire [2:0]  s_axi_arprot,
  input  wire        s_axi_arvalid,
  output wire        s_axi_arready,
  output wire [31:0] s_axi_rdata,
  output wire [1:0]  s_axi_rresp,
  output wire        s_axi_rvalid,
  input  wire        s_axi_rready,
  // AXI4: data
  output wire [0:0]  m_axi_awid,
  output wire [31:0] m_axi_awaddr,
  output wire [7:0]  m_axi_awlen,
  output wire [2:0]  m_axi_awsize,
  output wire [1:0]  m_axi_awburst,
  output wire [3:0]  m_axi_awcache,
  output wire [2:0]  m_axi_awprot,
  output wire        m_axi_awvalid,
  input  wire        m_axi_awready,
  output wire [63:0] m_axi_wdata,
  output wire [7:0]  m_axi_wstrb,
  output wire        m_axi_wlast,
  output wire        m_axi_wvalid,
  input  wire        m_axi_wready,
  input  wire [0:0]  m_axi_bid,
  input  wire [1:0]  m_axi_bresp,
  input  wire        m_axi_bvalid,
  output wire        m_axi_bready,
  output wire [0:0]  m_axi_arid,
  output wire [31:0] m_axi_araddr,
  output wire [7:0]  m_axi_arlen,
  output wire [2:0]  m_axi_arsize,
  output wire [1:0]  m_axi_arburst,
  output wire [3:0]  m_axi_arcache,
  output wire [2:0]  m_axi_arprot,
  output wire        m_axi_arvalid,
  input  wire        m_axi_arready,
  input  wire [0:0]  m_axi_rid,
  input  wire [63:0] m_axi_rdata,
  input  wire [1:0]  m_axi_rresp,
  input  wire        m_axi_rlast,
  input  wire        m_axi_rvalid,
  output wire        m_axi_rready,
  // AXI4, reads only: descriptors
  output wire [0:0]  d_axi_arid,
  output wire [31:0] d_axi_araddr,
  output wire [7:0]  d_axi_arlen,
  output wire [2:0]  d_axi_arsize,
  output wire [1:0]  d_axi_arburst,
  output wire [3:0]  d_axi_arcache,
  output wire [2:0]  d_axi_arprot,
  output wire        d_axi_arvalid,
  input  wire        d_axi_arready,
  input  wire [0:0]  d_axi_rid,
  input  wire [63:0] d_axi_rdata,
  input  wire [1:0]  d_axi_rresp,
  input  wire        d_axi_rlast,
  input  wire        d_axi_rvalid,
  output wire        d_axi_rready
);
  localparam [2:0] Size = 3'd3;         // 8 bytes
  localparam [1:0] Incrementing = 2'b01;
  localparam [3:0] Cache = 4'b0011;     // normal, not cacheable, bufferable

  wire unused_inputs = &{1'b0, s_axi_awprot, s_axi_wstrb, s_axi_arprot, m_axi_bid, m_axi_rid,
                         d_axi_rid};

  assign s_axi_bresp = 2'b00;
  assign s_axi_rresp = 2'b00;
  assign m_axi_awid = 1'b0;
  assign m_axi_awsize = Size;
  assign m_axi_awburst = Incrementing;
  assign m_axi_awcache = Cache;
  assign m_axi_awprot = 3'b000;
  assign m_axi_wstrb = 8'hFF;
  assign m_axi_bready = 1'b1;
  assign m_axi_arid = 1'b0;
  assign m_axi_arsize = Size;
  assign m_axi_arburst = Incrementing;
  assign m_axi_arcache = Cache;
  assign m_axi_arprot = 3'b000;
  assign m_axi_rready = 1'b1;
  assign d_axi_arid = 1'b0;
  assign d_axi_arlen = 8'd15;
  assign d_axi_arsize = Size;
  assign d_axi_arburst = Incrementing;
  assign d_axi_arcache = Cache;
  assign d_axi_arprot = 3'b000;
  assign d_axi_rready = 1'b1;

  jc_core #(
    .Rows(Rows), .Columns(Columns), .Strip(Strip), .Lanes(Lanes),
    .ActivationWords(ActivationWords), .WeightWords(WeightWords), .OutputWords(OutputWords),
    .ParameterWords(ParameterWords)
  ) u_core (
    .clk_i(aclk), .rst_ni(aresetn), .interrupt_o(irq),
    .s_awaddr_i(s_axi_awaddr), .s_awvalid_i(s_axi_awvalid), .s_awready_o(s_axi_awready),
    .s_wdata_i(s_axi_wdata), .s_wvalid_i(s_axi_wvalid), .s_wready_o(s_axi_wready),
    .s_bvalid_o(s_axi_bvalid), .s_bready_i(s_axi_bready),
    .s_araddr_i(s_axi_araddr), .s_arvalid_i(s_axi_arvalid), .s_arready_o(s_axi_arready),
    .s_rdata_o(s_axi_rdata), .s_rvalid_o(s_axi_rvalid), .s_rready_i(s_axi_rready),
    .m_araddr_o(m_axi_araddr), .m_arlen_o(m_axi_arlen), .m_arvalid_o(m_axi_arvalid),
    .m_arready_i(m_axi_arready), .m_rdata_i(m_axi_rdata), .m_rresp_i(m_axi_rresp),
    .m_rlast_i(m_axi_rlast), .m_rvalid_i(m_axi_rvalid),
    .m_awaddr_o(m_axi_awaddr), .m_awlen_o(m_axi_awlen), .m_awvalid_o(m_axi_awvalid),
    .m_awready_i(m_axi_awready), .m_wdata_o(m_axi_wdata), .m_wlast_o(m_axi_wlast),
    .m_wvalid_o(m_axi_wvalid), .m_wready_i(m_axi_wready), .m_bresp_i(m_axi_bresp),
    .m_bvalid_i(m_axi_bvalid),
    .d_araddr_o(d_axi_araddr), .d_arvalid_o(d_axi_arvalid), .d_arready_i(d_axi_arready),
    .d_rdata_i(d_axi_rdata), .d_rresp_i(d_axi_rresp), .d_rlast_i(d_axi_rlast),
    .d_rvalid_i(d_axi_rvalid)
  );
endmodule
