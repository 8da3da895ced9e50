# Written by joulecut.hw.vivado; do not edit.
set vlnv joulecut:accelerator:jc_core:1.0
set registers {
  {id 0x00 read-only {0x4A434D41}}
  {version 0x04 read-only {of registers and descriptors}}
  {array 0x08 read-only {rows 7:0, columns 15:8, strip 23:16, lanes 31:24}}
  {inputs 0x0C read-only {activation words 31:0}}
  {weights 0x10 read-only {weight words 31:0}}
  {outputs 0x14 read-only {output words 31:0}}
  {parameters 0x18 read-only {channels of bias and scale 31:0}}
  {control 0x1C write-only {start 0, clear counters 1}}
  {status 0x20 read-only {busy 0, done 1, error 2, error code 11:8}}
  {interrupt 0x24 read-write {pending 0 (1 clears it)}}
  {interrupt_enable 0x28 read-write {enable 0}}
  {descriptors 0x2C read-write {byte address of the first descriptor, a multiple of 128}}
  {count 0x30 read-write {descriptors to run, an even number}}
  {scratch 0x34 read-write {free for the driver}}
  {cycles 0x38 read-only {from start to done}}
  {mac_cycles 0x3C read-only {cycles in which the array multiplied}}
  {vector_cycles 0x40 read-only {cycles in which words went round the array (pools, adds)}}
  {idle_cycles 0x44 read-only {no descriptor to compute was there}}
  {load_stalls 0x48 read-only {computing waited for a load}}
  {store_stalls 0x4C read-only {computing waited for room in the output memory}}
  {weight_stalls 0x50 read-only {computing waited for weights to enter the array}}
  {sum_stalls 0x54 read-only {computing waited for sums to be requantized}}
  {beats_in 0x58 read-only {of 8 bytes that loads read}}
  {beats_out 0x5C read-only {of 8 bytes that stores wrote}}
  {activation_reads 0x60 read-only {words of the activation memory}}
  {weight_reads 0x64 read-only {words of the weight memory}}
  {bias_reads 0x68 read-only {of the parameter memory}}
  {scale_reads 0x6C read-only {of the parameter memory, one a lane and cycle}}
  {sum_updates 0x70 read-only {pixels whose sums were read, changed and written}}
  {sum_drains 0x74 read-only {pixels whose sums were requantized}}
  {output_writes 0x78 read-only {words of the output memory}}
  {finished 0x7C read-only {descriptors that have ended}}
}
set configurations {
  z7020 {
    clock_hz 100000000
    least_block_rams 73
    parameters {Rows 16 Columns 16 Strip 64 Lanes 8 ActivationWords 8192 WeightWords 10240 OutputWords 2048 ParameterWords 1024}
  }
  z7020-wide {
    clock_hz 150000000
    least_block_rams 79
    parameters {Rows 24 Columns 16 Strip 64 Lanes 8 ActivationWords 8192 WeightWords 10752 OutputWords 2048 ParameterWords 1152}
  }
  zu {
    clock_hz 200000000
    least_block_rams 217
    parameters {Rows 32 Columns 32 Strip 64 Lanes 8 ActivationWords 8192 WeightWords 20480 OutputWords 2048 ParameterWords 2048}
  }
}
