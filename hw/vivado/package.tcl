# Never run by us: no Vivado was at hand.
#
# The accelerator as an IP-XACT core with registers, in FOLDER/ip.

proc package_core {part folder} {
  global here vlnv registers
  lassign [split $vlnv :] vendor library name version
  create_project -force -part $part package $folder
  set rtl [file join [file dirname $here] rtl]
  set sources [lsort [glob [file join $rtl *.sv]]]
  set headers [lsort [glob [file join $rtl *.svh]]]
  add_files -norecurse [list {*}$headers {*}$sources [file join $rtl jc_top.v]]
  foreach header $headers {
    set_property file_type "Verilog Header" [get_files [file tail $header]]
  }
  set_property top jc_top [current_fileset]
  update_compile_order -fileset sources_1

  ipx::package_project -root_dir [file join $folder ip] -vendor $vendor -library $library \
    -taxonomy /UserIP -import_files -force
  set core [ipx::current_core]
  set_property name $name $core
  set_property version $version $core
  set_property display_name "joulecut int8 MAC accelerator" $core
  set_property description "An array of int8 multiply-accumulators run by descriptors" $core
  set_property supported_families {zynq Production zynquplus Production} $core

  package_interfaces $core
  package_registers $core $registers
  ipx::create_xgui_files $core
  ipx::update_checksums $core
  ipx::check_integrity $core
  ipx::save_core $core
  close_project
}

# Buses are inferred from the names of jc_top's ports.
proc package_interfaces {core} {
  foreach bus {s_axi m_axi d_axi aclk aresetn} {
    if {[llength [ipx::get_bus_interfaces $bus -of_objects $core]] == 0} {
      error "Vivado has inferred no interface '$bus' from the ports of jc_top; have its names\
        changed in hw/rtl/jc_top.v?"
    }
  }
  if {[llength [ipx::get_bus_interfaces irq -of_objects $core]] == 0} {
    ipx::infer_bus_interface irq xilinx.com:signal:interrupt_rtl:1.0 $core
  }
  foreach bus {s_axi m_axi d_axi} {
    ipx::associate_bus_interfaces -busif $bus -clock aclk $core
  }
  ipx::associate_bus_interfaces -clock aclk -reset aresetn $core
  bus_parameter $core aresetn POLARITY ACTIVE_LOW
  bus_parameter $core irq SENSITIVITY LEVEL_HIGH
  foreach bus {m_axi d_axi} {
    bus_parameter $core $bus MAX_BURST_LENGTH 16
    bus_parameter $core $bus SUPPORTS_NARROW_BURST 0
  }
}

proc bus_parameter {core bus name value} {
  set interface [ipx::get_bus_interfaces $bus -of_objects $core]
  set parameter [ipx::get_bus_parameters -quiet $name -of_objects $interface]
  if {[llength $parameter] == 0} {
    set parameter [ipx::add_bus_parameter $name $interface]
  }
  set_property value $value $parameter
}

proc package_registers {core registers} {
  set map [ipx::get_memory_maps -quiet s_axi -of_objects $core]
  if {[llength $map] == 0} {
    set map [ipx::add_memory_map s_axi $core]
    set_property slave_memory_map_ref s_axi [ipx::get_bus_interfaces s_axi -of_objects $core]
  }
  set block [ipx::get_address_blocks -quiet reg0 -of_objects $map]
  if {[llength $block] == 0} {
    set block [ipx::add_address_block reg0 $map]
  }
  set_property usage register $block
  set_property range 4096 $block
  set_property width 32 $block
  foreach row $registers {
    lassign $row name offset access text
    set register [ipx::add_register $name $block]
    set_property address_offset $offset $register
    set_property size 32 $register
    set_property access $access $register
    set_property description $text $register
  }
}
