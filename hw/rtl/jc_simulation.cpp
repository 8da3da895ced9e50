// A Verilated accelerator and the memory behind it, as a C library.
//
// The memory takes a burst a cycle and answers the first beat of one `latency` cycles after its
// address, then a beat a cycle; a write is answered `latency` cycles after its last beat. With a
// seed, everything happens late or in pauses instead. Broken AXI rules end the run.
#include <cstdint>
#include <cstring>
#include <deque>
#include <random>

#include "Vjc_core.h"
#include "verilated.h"

namespace {

struct Burst {
  uint32_t address;
  int beats;
  uint64_t ready;  // first cycle in which its beat may be shown
};

enum Fault { kNone, kPage, kRange, kAlignment, kUnstable, kLast, kHang };

struct Port {  // reads
  std::deque<Burst> bursts;
  bool is_shown = false;
  uint32_t held_address = 0;
  bool is_held = false;
};

struct Simulation {
  VerilatedContext context;
  Vjc_core* top;
  uint8_t* memory;
  uint64_t size;
  int latency;
  uint64_t cycle = 0;
  Port data, descriptors;
  std::deque<Burst> writes;
  std::deque<uint64_t> answers;
  int beat = 0;
  Fault fault = kNone;
  bool is_random = false;
  bool aw_held = false, w_held = false;
  uint32_t aw_address = 0;
  uint64_t w_data = 0;
  std::mt19937 random;

  Simulation(uint8_t* m, uint64_t s, int l) : memory(m), size(s), latency(l) {
    context.randReset(2);
    top = new Vjc_core(&context);
  }

  ~Simulation() {
    top->final();
    delete top;
  }

  bool chance(int percent) { return !is_random || int(random() % 100) < percent; }
  uint64_t later() { return cycle + (is_random ? 1 + random() % (2 * latency + 1) : latency); }

  void check(uint32_t address, int beats) {
    if (address & 7) fault = kAlignment;
    if ((address & 4095) + 8 * beats > 4096 || beats > 16) fault = kPage;
    if (uint64_t(address) + 8 * beats > size) fault = kRange;
  }

  template <class Data>
  void show(Port& port, uint8_t& valid, Data& value, uint8_t& last, bool& is_new) {
    bool is_ready = !port.bursts.empty() && port.bursts.front().ready <= cycle;
    is_new = is_ready && (port.is_shown || chance(60));
    port.is_shown = is_new;
    valid = is_new;
    if (!is_new) return;
    const Burst& burst = port.bursts.front();
    if (fault == kNone) std::memcpy(&value, memory + burst.address, 8);
    last = burst.beats == 1;
  }

  void advance(Port& port, bool is_taken) {
    if (!is_taken) return;
    Burst& burst = port.bursts.front();
    burst.address += 8;
    port.is_shown = false;
    if (--burst.beats == 0) port.bursts.pop_front();
  }

  void asked(Port& port, bool valid, bool ready, uint32_t address, int beats) {
    if (port.is_held && (!valid || address != port.held_address)) fault = kUnstable;
    port.is_held = valid && !ready;
    port.held_address = address;
    if (!valid || !ready) return;
    check(address, beats);
    if (fault == kNone) port.bursts.push_back({address, beats, later()});
  }

  void tick() {
    bool r_new, d_new;
    show(data, top->m_rvalid_i, top->m_rdata_i, top->m_rlast_i, r_new);
    show(descriptors, top->d_rvalid_i, top->d_rdata_i, top->d_rlast_i, d_new);
    top->m_arready_i = chance(50);
    top->d_arready_i = chance(50);
    top->m_awready_i = chance(50);
    top->m_wready_i = chance(50);
    top->m_bvalid_i = !answers.empty() && answers.front() <= cycle;
    top->clk_i = 0;
    top->eval();

    asked(data, top->m_arvalid_o, top->m_arready_i, top->m_araddr_o, top->m_arlen_o + 1);
    asked(descriptors, top->d_arvalid_o, top->d_arready_i, top->d_araddr_o, 16);
    advance(data, r_new);
    advance(descriptors, d_new);
    if (top->m_bvalid_i) answers.pop_front();
    bool aw = top->m_awvalid_o, w = top->m_wvalid_o;
    if (aw_held && (!aw || top->m_awaddr_o != aw_address)) fault = kUnstable;
    if (w_held && (!w || top->m_wdata_o != w_data)) fault = kUnstable;
    aw_held = aw && !top->m_awready_i;
    aw_address = top->m_awaddr_o;
    w_held = w && !top->m_wready_i;
    w_data = top->m_wdata_o;
    if (aw && top->m_awready_i) {
      check(top->m_awaddr_o, top->m_awlen_o + 1);
      writes.push_back({top->m_awaddr_o, top->m_awlen_o + 1, 0});
    }
    if (w && top->m_wready_i && fault == kNone) {
      if (writes.empty()) {
        fault = kLast;
      } else {
        Burst& burst = writes.front();
        std::memcpy(memory + burst.address, &top->m_wdata_o, 8);
        burst.address += 8;
        --burst.beats;
        if (bool(top->m_wlast_o) != (burst.beats == 0)) fault = kLast;
        if (burst.beats == 0) {
          writes.pop_front();
          answers.push_back(later());
        }
      }
    }
    top->clk_i = 1;
    top->eval();
    ++cycle;
  }

  void reset() {
    data = Port();
    descriptors = Port();
    writes.clear();
    answers.clear();
    aw_held = w_held = false;
    top->rst_ni = 0;
    for (int i = 0; i < 4; ++i) tick();
    top->rst_ni = 1;
    data.is_held = descriptors.is_held = aw_held = w_held = false;
    fault = kNone;
  }
};

}  // namespace

extern "C" {

Simulation* jc_new(uint8_t* memory, uint64_t size, int latency) {
  auto* s = new Simulation(memory, size, latency);
  s->reset();
  return s;
}

void jc_free(Simulation* s) { delete s; }

void jc_reset(Simulation* s) { s->reset(); }

// A seed other than 0 makes the memory slow and irregular.
void jc_random(Simulation* s, uint32_t seed) {
  s->is_random = seed != 0;
  s->random.seed(seed);
}

void jc_write(Simulation* s, uint32_t offset, uint32_t value) {
  auto* top = s->top;
  top->s_awaddr_i = offset;
  top->s_wdata_i = value;
  top->s_awvalid_i = top->s_wvalid_i = top->s_bready_i = 1;
  for (bool taken = false; !taken;) {
    top->clk_i = 0;
    top->eval();
    taken = top->s_awready_o && top->s_wready_o;
    s->tick();
  }
  top->s_awvalid_i = top->s_wvalid_i = 0;
  while (top->s_bvalid_o) s->tick();
  top->s_bready_i = 0;
}

uint32_t jc_read(Simulation* s, uint32_t offset) {
  auto* top = s->top;
  top->s_araddr_i = offset;
  top->s_arvalid_i = 1;
  for (bool taken = false; !taken;) {
    top->clk_i = 0;
    top->eval();
    taken = top->s_arready_o;
    s->tick();
  }
  top->s_arvalid_i = 0;
  while (!top->s_rvalid_o) s->tick();
  uint32_t value = top->s_rdata_o;
  top->s_rready_i = 1;
  s->tick();
  top->s_rready_i = 0;
  return value;
}

// Ticks until the interrupt is up, a rule is broken, or the cycles are over: the fault, or 0.
int jc_run(Simulation* s, uint64_t cycles) {
  for (uint64_t i = 0; i < cycles; ++i) {
    if (s->top->interrupt_o) return 0;
    s->tick();
    if (s->fault != kNone) return s->fault;
  }
  return kHang;
}

void jc_ticks(Simulation* s, uint64_t cycles) {
  for (uint64_t i = 0; i < cycles; ++i) s->tick();
}

uint64_t jc_cycle(Simulation* s) { return s->cycle; }
}
