# Never run by us: no Vivado was at hand.
#
# The block design: the processor's clock and reset, registers on its general port, data and
# descriptors each on a high-performance port of 64 bits. The clock's constraint comes with the
# processor, and nothing reaches a pin, so that no .xdc is needed. The core's interrupt goes to the
# processor through an axi_intc, without which pynq has no Interrupt for it.

proc make_design {board size has_board_files} {
  global vlnv
  set processor [dict get $board processor]
  set cell [dict get $processor cell]
  create_bd_design design_1
  make_processor $board $size $has_board_files
  create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset_0
  create_bd_cell -type ip -vlnv $vlnv jc_core_0
  foreach {name value} [dict get $size parameters] {
    set_property CONFIG.$name $value [get_bd_cells jc_core_0]
  }
  make_interrupts
  connect_buses $processor
  connect_clocks $processor
  connect_interrupt [get_bd_pins $cell/[dict get $processor interrupt]]
  assign_addresses $processor [dict get $board memory_range]
  validate_bd_design
  save_bd_design
  set clock_hz [granted_clock $processor $size]
  make_top
  return $clock_hz
}

proc make_processor {board size has_board_files} {
  set processor [dict get $board processor]
  set cell [dict get $processor cell]
  create_bd_cell -type ip -vlnv [dict get $processor ip] $cell
  lassign [dict get $processor rule] rule choices
  apply_bd_automation -rule $rule -config [dict merge $choices \
    [dict create apply_board_preset $has_board_files]] [get_bd_cells $cell]
  set settings [dict get $processor settings]
  if {!$has_board_files} {
    set settings [dict merge $settings [dict get $board without_files]]
  }
  dict set settings [dict get $processor clock_setting] [expr {[dict get $size clock_hz] / 1e6}]
  set_property -dict $settings [get_bd_cells $cell]
}

# Its output is a wire: by default it is an interface, which the processors have not.
proc make_interrupts {} {
  create_bd_cell -type ip -vlnv xilinx.com:ip:axi_intc axi_intc_0
  set_property CONFIG.C_IRQ_CONNECTION 1 [get_bd_cells axi_intc_0]
}

proc connect_interrupt {pin} {
  connect_bd_net [get_bd_pins jc_core_0/irq] [get_bd_pins axi_intc_0/intr]
  connect_bd_net [get_bd_pins axi_intc_0/irq] $pin
}

# A SmartConnect between each AXI interface of the core and its port of the processor.
proc connect_buses {processor} {
  set cell [dict get $processor cell]
  join_buses registers_0 $cell/[dict get $processor registers bus] jc_core_0/s_axi axi_intc_0/s_axi
  dict for {bus memory} [dict get $processor memories] {
    join_buses ${bus}_0 jc_core_0/$bus $cell/[dict get $memory bus]
  }
}

proc join_buses {name master args} {
  create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect $name
  set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI [llength $args]] [get_bd_cells $name]
  connect_bd_intf_net [get_bd_intf_pins $master] [get_bd_intf_pins $name/S00_AXI]
  set i 0
  foreach slave $args {
    connect_bd_intf_net [get_bd_intf_pins [format %s/M%02d_AXI $name $i]] \
      [get_bd_intf_pins $slave]
    incr i
  }
}

proc connect_clocks {processor} {
  set cell [dict get $processor cell]
  set clock [get_bd_pins $cell/[dict get $processor clock]]
  set crossings {registers_0}
  foreach bus [dict keys [dict get $processor memories]] {
    lappend crossings ${bus}_0
  }
  foreach pin [dict get $processor bus_clocks] {
    connect_bd_net $clock [get_bd_pins $cell/$pin]
  }
  foreach name [list {*}$crossings jc_core_0] {
    connect_bd_net $clock [get_bd_pins $name/aclk]
  }
  connect_bd_net $clock [get_bd_pins axi_intc_0/s_axi_aclk]
  connect_bd_net $clock [get_bd_pins reset_0/slowest_sync_clk]
  connect_bd_net [get_bd_pins $cell/[dict get $processor reset]] \
    [get_bd_pins reset_0/ext_reset_in]
  foreach name $crossings {
    connect_bd_net [get_bd_pins reset_0/interconnect_aresetn] [get_bd_pins $name/aresetn]
  }
  foreach pin {jc_core_0/aresetn axi_intc_0/s_axi_aresetn} {
    connect_bd_net [get_bd_pins reset_0/peripheral_aresetn] [get_bd_pins $pin]
  }
}

proc assign_addresses {processor memory_range} {
  set cell [dict get $processor cell]
  set space $cell/[dict get $processor registers space]
  foreach {place segment} {registers jc_core_0/s_axi/reg0 interrupts axi_intc_0/S_AXI/Reg} {
    assign_bd_address -offset [dict get $processor $place offset] \
      -range [dict get $processor $place range] \
      -target_address_space [get_bd_addr_spaces $space] [get_bd_addr_segs $segment]
  }
  dict for {bus memory} [dict get $processor memories] {
    assign_bd_address -offset 0x00000000 -range $memory_range \
      -target_address_space [get_bd_addr_spaces jc_core_0/$bus] \
      [get_bd_addr_segs $cell/[dict get $memory segment]]
  }
}

# The processor divides its clocks by whole numbers, so that not every clock can be had.
proc granted_clock {processor size} {
  set asked [dict get $size clock_hz]
  set pin [get_bd_pins [dict get $processor cell]/[dict get $processor clock]]
  set granted [get_property CONFIG.FREQ_HZ $pin]
  if {![string is double -strict $granted] || $granted > 1.01 * $asked || $granted < 0.9 * $asked} {
    error "the processor's clock is '$granted' Hz where $asked Hz were asked for; choose a clock\
      that its dividers can make, in hw/config.py"
  }
  return $granted
}

proc make_top {} {
  set design [get_files design_1.bd]
  generate_target all $design
  add_files -norecurse [make_wrapper -files $design -top]
  set_property top design_1_wrapper [current_fileset]
  update_compile_order -fileset sources_1
}
