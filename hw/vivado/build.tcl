# Never run by us: no Vivado was at hand. Tests run it with Vivado's commands stubbed.
#
# vivado -mode batch -source build.tcl -tclargs BOARD [CONFIGURATION [FOLDER]]
#
# Packages the accelerator, builds a block design for a board, implements it, and, if its timing
# holds, leaves joulecut.bit, joulecut.hwh and joulecut.json in FOLDER (build/BOARD by default).

set here [file dirname [file normalize [info script]]]
foreach script {generated boards package design report} {
  source [file join $here $script.tcl]
}

proc start {arguments} {
  global boards configurations
  if {[llength $arguments] < 1 || [llength $arguments] > 3} {
    error "give a board ([join [dict keys $boards] {, }]), and, if you want other than the\
      defaults, a configuration ([join [dict keys $configurations] {, }]) and a folder"
  }
  lassign $arguments name configuration folder
  if {![dict exists $boards $name]} {
    error "no board '$name'; choose one of [join [dict keys $boards] {, }]"
  }
  set board [dict get $boards $name]
  if {$configuration eq ""} {
    set configuration [dict get $board configuration]
  }
  if {![dict exists $configurations $configuration]} {
    error "no configuration '$configuration'; choose one of\
      [join [dict keys $configurations] {, }]"
  }
  set size [dict get $configurations $configuration]
  set least [dict get $size least_block_rams]
  if {$least > [dict get $board block_rams]} {
    error "configuration '$configuration' holds at least $least block RAMs of memory and\
      $name has [dict get $board block_rams]; choose a smaller one"
  }
  if {$folder eq ""} {
    set folder [file join build $name]
  }
  build $name $board $configuration $size [file normalize $folder]
}

proc build {name board configuration size folder} {
  set part [dict get $board part]
  file mkdir $folder
  package_core $part [file join $folder package]
  create_project -force -part $part joulecut [file join $folder project]
  set has_board_files [use_board_files $board]
  set_property ip_repo_paths [list [file join $folder package ip]] [current_project]
  update_ip_catalog -rebuild
  set clock_hz [make_design $board $size $has_board_files]
  implement
  set report [report_of $name $configuration $size $clock_hz]
  write_report [file join $folder joulecut.json] $report
  require_timing $report
  close_design
  run_to impl_1 -to_step write_bitstream
  set runs [file join $folder project joulecut.runs impl_1]
  file copy -force [file join $runs design_1_wrapper.bit] [file join $folder joulecut.bit]
  file copy -force [handoff_file $folder] [file join $folder joulecut.hwh]
  puts "wrote joulecut.bit, joulecut.hwh and joulecut.json in $folder"
}

# A board's files preset the processor's memory and pins. Vivado may have other revisions of them.
proc use_board_files {board} {
  set found [get_board_parts -quiet [dict get $board board_files]]
  if {[llength $found] == 0} {
    puts "WARNING: no board files [dict get $board board_files]. The bitstream does not depend\
      on them once the board's own image has started the processor, but do not make a boot\
      loader from this design."
    return 0
  }
  set_property board_part [lindex [lsort -dictionary $found] end] [current_project]
  return 1
}

proc implement {} {
  set_property strategy Performance_ExplorePostRoutePhysOpt [get_runs impl_1]
  run_to synth_1
  run_to impl_1
  open_run impl_1
}

proc run_to {run args} {
  launch_runs $run {*}$args -jobs 4
  wait_on_run $run
  set progress [get_property PROGRESS [get_runs $run]]
  if {$progress ne "100%"} {
    error "run $run stopped at $progress ([get_property STATUS [get_runs $run]]); its\
      runme.log says why"
  }
}

proc handoff_file {folder} {
  # Vivado before 2020.2 has no .gen folder.
  foreach sources {joulecut.gen joulecut.srcs} {
    set path [file join $folder project $sources sources_1 bd design_1 hw_handoff design_1.hwh]
    if {[file exists $path]} {
      return $path
    }
  }
  error "Vivado left no hardware handoff at $path"
}

start $argv
