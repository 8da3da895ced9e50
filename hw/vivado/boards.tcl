# Never run by us: no Vivado was at hand.
#
# part, board files, and configuration built by default; block RAMs of 36 Kbit; the processor
# (cell, IP without version, settings), its pins and buses; where registers and memory lie.

set zynq {
  cell processing_system7_0
  ip xilinx.com:ip:processing_system7
  rule {
    xilinx.com:bd_rule:processing_system7
    {make_external "FIXED_IO, DDR" Master Disable Slave Disable}
  }
  clock_setting CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ
  settings {
    CONFIG.PCW_EN_CLK0_PORT 1
    CONFIG.PCW_EN_RST0_PORT 1
    CONFIG.PCW_USE_M_AXI_GP0 1
    CONFIG.PCW_USE_S_AXI_HP0 1
    CONFIG.PCW_USE_S_AXI_HP1 1
    CONFIG.PCW_S_AXI_HP0_DATA_WIDTH 64
    CONFIG.PCW_S_AXI_HP1_DATA_WIDTH 64
    CONFIG.PCW_USE_FABRIC_INTERRUPT 1
    CONFIG.PCW_IRQ_F2P_INTR 1
  }
  clock FCLK_CLK0
  reset FCLK_RESET0_N
  interrupt IRQ_F2P
  bus_clocks {M_AXI_GP0_ACLK S_AXI_HP0_ACLK S_AXI_HP1_ACLK}
  registers {bus M_AXI_GP0 space Data offset 0x43C00000 range 64K}
  interrupts {offset 0x41800000 range 64K}
  memories {
    m_axi {bus S_AXI_HP0 segment S_AXI_HP0/HP0_DDR_LOWOCM}
    d_axi {bus S_AXI_HP1 segment S_AXI_HP1/HP1_DDR_LOWOCM}
  }
}

set zynq_ultrascale {
  cell zynq_ultra_ps_e_0
  ip xilinx.com:ip:zynq_ultra_ps_e
  rule {xilinx.com:bd_rule:zynq_ultra_ps_e {}}
  clock_setting CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ
  settings {
    CONFIG.PSU__FPGA_PL0_ENABLE 1
    CONFIG.PSU__USE__FABRIC__RST 1
    CONFIG.PSU__USE__M_AXI_GP0 1
    CONFIG.PSU__USE__M_AXI_GP1 0
    CONFIG.PSU__USE__M_AXI_GP2 0
    CONFIG.PSU__USE__S_AXI_GP2 1
    CONFIG.PSU__USE__S_AXI_GP3 1
    CONFIG.PSU__SAXIGP2__DATA_WIDTH 64
    CONFIG.PSU__SAXIGP3__DATA_WIDTH 64
    CONFIG.PSU__USE__IRQ0 1
  }
  clock pl_clk0
  reset pl_resetn0
  interrupt pl_ps_irq0
  bus_clocks {maxihpm0_fpd_aclk saxihp0_fpd_aclk saxihp1_fpd_aclk}
  registers {bus M_AXI_HPM0_FPD space Data offset 0xA0000000 range 64K}
  interrupts {offset 0xA0010000 range 64K}
  memories {
    m_axi {bus S_AXI_HP0_FPD segment SAXIGP2/HP0_DDR_LOW}
    d_axi {bus S_AXI_HP1_FPD segment SAXIGP3/HP1_DDR_LOW}
  }
}

# z7020-wide on the KV260: the memories of zu, written as block RAM, are more than it has.
set boards [dict create \
  pynq_z2 [dict create part xc7z020clg400-1 board_files tul.com.tw:pynq-z2:* \
    configuration z7020 block_rams 140 memory_range 512M processor $zynq \
    without_files {CONFIG.PCW_CRYSTAL_PERIPHERAL_FREQMHZ 50}] \
  kria_kv260 [dict create part xck26-sfvc784-2LV-c board_files xilinx.com:kv260_som:* \
    configuration z7020-wide block_rams 144 memory_range 2G processor $zynq_ultrascale \
    without_files {}] \
  zcu104 [dict create part xczu7ev-ffvc1156-2-e board_files xilinx.com:zcu104:* \
    configuration zu block_rams 312 memory_range 2G processor $zynq_ultrascale \
    without_files {}]]
