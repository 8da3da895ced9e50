// Feeds arrays through jc_requantize, one sample a cycle where valid, and collects the results.
#include <cstddef>
#include <cstdint>
#include <memory>

#include "Vjc_requantize.h"
#include "verilated.h"

// Returns how many results came, at most n. @latency: cycles from the first valid sample to the
// first result. Arrays @valid, @acc, @scale, @addend, @addend_scale, @add and @y: n each; results
// stand in y without gaps. What stands beside an invalid sample is fed all the same.
extern "C" size_t requantize(size_t n, const uint8_t *valid, const int32_t *acc,
                             const uint32_t *scale, const int16_t *addend,
                             const uint32_t *addend_scale, const uint8_t *add, int zero_point,
                             int low, int high, uint8_t *y, size_t *latency) {
  VerilatedContext context;
  auto top = std::make_unique<Vjc_requantize>(&context);
  top->zero_point_i = zero_point & 0x3ff;
  top->low_i = low & 0x3ff;
  top->high_i = high & 0x3ff;
  const size_t drain = 64;
  size_t done = 0, first = n;
  for (size_t i = 0; i < n + drain; i++) {
    const size_t at = i < n ? i : n - 1;
    top->valid_i = i < n && valid[i];
    top->acc_i = (uint32_t)acc[at];
    top->scale_i = scale[at];
    top->addend_i = addend[at] & 0x1ff;
    top->addend_scale_i = addend_scale[at];
    top->add_i = add[at];
    if (top->valid_i && first == n) first = i;
    top->clk_i = 0;
    top->eval();
    top->clk_i = 1;
    top->eval();
    if (top->valid_o && done < n) {
      if (done == 0) *latency = i + 1 - first;
      y[done++] = top->y_o;
    }
  }
  top->final();
  return done;
}
