# Vivado's commands, recorded instead of run: tclsh vivado_stub.tcl SCRIPT ANSWERS ARGUMENT...
#
# Options and numbers of arguments are checked as Vivado's manuals have them (UG835, UG1118), and
# cells, files and runs must have been made before they are asked for. ANSWERS is a dict of what
# get_property (by property), reports and get_board_parts (by command) say. Standard output has
# one call a line, fields separated by the character 0x1F, and "defined" and "called" procs.

# command {options, = where a value follows} least most: positional arguments
set commands {
  create_project {-force -part=} 1 2
  close_project {} 0 0
  current_project {} 0 0
  current_fileset {} 0 0
  add_files {-norecurse -fileset=} 1 1
  get_files {} 1 1
  set_property {-dict=} 1 3
  get_property {} 2 2
  update_compile_order {-fileset=} 0 0
  update_ip_catalog {-rebuild} 0 0
  get_board_parts {-quiet} 1 1
  ipx::package_project {-root_dir= -vendor= -library= -taxonomy= -import_files -force} 0 0
  ipx::current_core {} 0 0
  ipx::get_bus_interfaces {-of_objects=} 1 1
  ipx::infer_bus_interface {} 3 3
  ipx::associate_bus_interfaces {-busif= -clock= -reset=} 1 1
  ipx::get_bus_parameters {-quiet -of_objects=} 1 1
  ipx::add_bus_parameter {} 2 2
  ipx::get_memory_maps {-quiet -of_objects=} 1 1
  ipx::add_memory_map {} 2 2
  ipx::get_address_blocks {-quiet -of_objects=} 1 1
  ipx::add_address_block {} 2 2
  ipx::add_register {} 2 2
  ipx::create_xgui_files {} 1 1
  ipx::update_checksums {} 1 1
  ipx::check_integrity {} 1 1
  ipx::save_core {} 1 1
  create_bd_design {} 1 1
  create_bd_cell {-type= -vlnv=} 1 1
  get_bd_cells {} 1 1
  get_bd_pins {} 1 1
  get_bd_intf_pins {} 1 1
  get_bd_addr_spaces {} 1 1
  get_bd_addr_segs {} 1 1
  apply_bd_automation {-rule= -config=} 1 1
  connect_bd_net {} 2 2
  connect_bd_intf_net {} 2 2
  assign_bd_address {-offset= -range= -target_address_space=} 1 1
  validate_bd_design {} 0 0
  save_bd_design {} 0 0
  generate_target {} 2 2
  make_wrapper {-files= -top} 0 0
  get_runs {} 1 1
  launch_runs {-to_step= -jobs=} 1 1
  wait_on_run {} 1 1
  open_run {} 1 1
  close_design {} 0 0
  report_utilization {-return_string} 0 0
  report_power {-return_string} 0 0
  version {-short} 0 0
}

set cells {}
set project {}
set defined {}
set called {}

rename proc plain_proc
plain_proc proc {name parameters body} {
  lappend ::defined $name
  plain_proc $name $parameters "lappend ::called $name\n$body"
}

plain_proc positional {command arguments} {
  foreach {known options least most} $::commands {
    if {$known eq $command} {
      set left {}
      while {[llength $arguments]} {
        set arguments [lassign $arguments word]
        if {"$word=" in $options} {
          if {![llength $arguments]} {error "$command: $word has no value"}
          set arguments [lassign $arguments value]
        } elseif {[regexp {^-[a-z_]+$} $word] && $word ni $options} {
          error "$command: no option $word"
        } elseif {$word ni $options} {
          lappend left $word
        }
      }
      if {[llength $left] < $least || [llength $left] > $most} {
        error "$command: [llength $left] arguments"
      }
      return $left
    }
  }
  error "invalid command name \"$command\""
}

plain_proc touch {path} {
  file mkdir [file dirname $path]
  close [open $path w]
}

plain_proc unknown {command args} {
  set words [positional $command $args]
  puts [string map {\n " "} [join [list $command {*}$args] \x1f]]
  set first [lindex $words 0]
  switch -glob $command {
    create_project {set ::project [lindex $words 1]}
    create_bd_cell {lappend ::cells $first}
    get_bd_cells - get_bd_pins - get_bd_intf_pins - get_bd_addr_* {
      if {[lindex [split $first /] 0] ni $::cells} {error "$command: no cell of $first"}
    }
    generate_target {
      touch [file join $::project joulecut.gen/sources_1/bd/design_1/hw_handoff/design_1.hwh]
    }
    launch_runs {
      if {"write_bitstream" in $args} {
        touch [file join $::project joulecut.runs/impl_1/design_1_wrapper.bit]
      }
    }
    get_property {return [dict get $::answers $first]}
    report_* - get_board_parts - version {return [dict get $::answers $command]}
    make_wrapper {return design_1_wrapper.v}
    ipx::get_bus_parameters - ipx::get_memory_maps - ipx::get_address_blocks {return {}}
    ipx::get_bus_interfaces {
      if {$first in [dict get $::answers missing_interfaces]} {return {}}
    }
    ipx::add_* {return "[lindex $words 1]:$first"}
  }
  return $first
}

set argv [lassign $argv script answers]
set failed [catch {source $script} message]
puts "defined\x1f[join [lsort -unique $defined] \x1f]"
puts "called\x1f[join [lsort -unique $called] \x1f]"
if {$failed} {
  puts stderr $message
}
exit $failed
