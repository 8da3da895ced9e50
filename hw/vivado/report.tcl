# Never run by us: no Vivado was at hand.
#
# What the implemented design takes, its slack and its power, as JSON.

# Keys of the report and what Vivado calls them: 7 series, then UltraScale+.
set resources {
  lut {{Slice LUTs} {CLB LUTs}}
  ff {{Slice Registers} {CLB Registers}}
  block_ram_36k {{Block RAM Tile}}
  dsp {DSPs}
}
set slacks {setup_slack_ns STATS.WNS hold_slack_ns STATS.WHS}

proc report_of {board configuration size clock_hz} {
  global resources slacks
  set report [dict create board [quoted $board] configuration [quoted $configuration] \
    source [quoted "Vivado [version -short], after routing; power is its estimate"] \
    asked_clock_hz [dict get $size clock_hz] clock_hz $clock_hz]
  dict for {key property} $slacks {
    set slack [get_property $property [get_runs impl_1]]
    if {![string is double -strict $slack]} {
      error "Vivado gives no $key ('$slack'): is the design's clock constrained?"
    }
    dict set report $key $slack
  }
  set utilization [report_utilization -return_string]
  dict for {key names} $resources {
    dict set report $key [cell_of $utilization $names]
  }
  dict set report power_w [cell_of [report_power -return_string] {{Total On-Chip Power (W)}}]
  return $report
}

# The number in the column behind the first of some names in a table of Vivado.
proc cell_of {text names} {
  foreach line [split $text \n] {
    set cells [lmap cell [split $line |] {string trim $cell}]
    if {[string trimright [lindex $cells 1] *] in $names} {
      set number [lindex $cells 2]
      if {[string is double -strict $number]} {
        return $number
      }
    }
  }
  error "no number for [join $names { or }] in Vivado's report; its wording may have changed\
    (hw/vivado/report.tcl)"
}

proc quoted {text} {
  return "\"[string map {\\ \\\\ \" \\\"} $text]\""
}

proc write_report {path report} {
  set lines {}
  dict for {key value} $report {
    lappend lines "  \"$key\": $value"
  }
  set file [open $path w]
  puts $file "{\n[join $lines ",\n"]\n}"
  close $file
}

proc require_timing {report} {
  global slacks
  foreach key [dict keys $slacks] {
    set slack [dict get $report $key]
    if {$slack < 0} {
      error "timing fails: $key is $slack at [dict get $report clock_hz] Hz, so no bitstream is\
        written; lower clock_hz in hw/config.py or choose a smaller configuration"
    }
  }
}
