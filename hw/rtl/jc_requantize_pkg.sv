// What the requantizer promises to whoever waits for its results.
package jc_requantize_pkg;

  // Cycles from valid_i to valid_o.
  localparam int unsigned Latency = 11;

endpackage
