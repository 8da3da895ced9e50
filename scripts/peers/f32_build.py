"""A float network through TVM's own operators and a short schedule => a program to count.

What a few lines of scheduling give in float32, for comparison with our integer kernels: TVM
fuses the operators, each convolution keeps the sums of some channels and pixels in registers,
and what follows it runs on those. The program needs no runtime; it calls model_hook before and
after every inference.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tvm as _tvm
from tvm import relax as _relax
from tvm import s_tir as _s_tir
from tvm import tirx as _tirx
from tvm.relax.frontend import onnx as _frontend

from joulecut.compiler.errors import UnsupportedError
from joulecut.targets.base import Target
from joulecut.targets.cpu.codegen import lowered
from joulecut.targets.cpu.toolchains import compiler, run
from joulecut.targets.devices.elf import symbol_address
from joulecut.targets.devices.plugin import CacheModel, build_plugin

tvm: Any = _tvm  # untyped: Any ends at the functions below
relax: Any = _relax
s_tir: Any = _s_tir
tirx: Any = _tirx
frontend: Any = _frontend

# (pixels in a row, channels) whose sums a convolution keeps: the fewest instructions for
# ResNet-8 of 4x2, 4x4, 4x8, 8x2, 8x4 and 16x4. NEON of ARMv7 has half as many registers.
TILES = {"aarch64": (8, 4), "armv7": (4, 2)}
WARM_RUNS = 2  # the last counts
PROGRAM = Path(__file__).with_name("f32_main.c")
FLAGS = ("-std=gnu11", "-O3", "-static")


@dataclass(frozen=True)
class FloatRun:
    """What the program did.

    Attributes:
        instructions: of one inference.
        output: of the model.
        scheduled: convolutions that have the schedule.
        convolutions: in all.
    """

    instructions: int
    output: np.ndarray
    scheduled: int
    convolutions: int


def count_f32(model: bytes, x: np.ndarray, target: Target, emulator: str, cpu: str) -> FloatRun:
    """Build a float model for a 32-bit or 64-bit Arm target and run it on an emulated core.

    Args:
        model: a float32 ONNX model with one input and one output.
        x: its input.
        target: to build for.
        emulator: of QEMU's user mode.
        cpu: that it emulates.

    Raises:
        UnsupportedError: TVM makes something of the model that has no C form here.
        DeviceError: a compiler or the emulator is absent, or refuses.
    """
    where = tvm.target.Target(_description(target))
    tile = TILES[target.arch]
    module, scheduled, convolutions = _scheduled(_straight_line(model, where), where, tile)
    gcc = compiler(target)
    with tempfile.TemporaryDirectory(prefix="joulecut-") as name:
        folder = Path(name)
        driver, constants = _driver(module)
        (folder / "driver.c").write_text(driver)
        (folder / "constants.S").write_text(_constants(constants, folder))
        _kernels(module, where).write_to_file(str(folder / "kernels.o"))
        sources = [PROGRAM, folder / "driver.c", folder / "constants.S", folder / "kernels.o"]
        command = [gcc, *FLAGS, *target.toolchain.cflags, *sources, "-lm", "-o", "model"]
        run(command, folder)
        np.ascontiguousarray(x, np.float32).tofile(folder / "x")
        hook = symbol_address(folder / "model", "model_hook")
        options = {
            "hook": hook & ~1 if target.arch == "armv7" else hook,
            "out": folder / "counts",
            **CacheModel().arguments(),
        }
        plugin = ",".join(
            [str(build_plugin(emulator)), *(f"{key}={value}" for key, value in options.items())]
        )
        words = ["./model", "x", "y", str(WARM_RUNS)]
        run([emulator, "-cpu", cpu, "-plugin", plugin, *words], folder)
        lines = (folder / "counts").read_text(encoding="ascii").splitlines()
        before, after = (int(line.split()[0]) for line in lines[-2:])
        output = np.fromfile(folder / "y", np.float32)
    return FloatRun(after - before, output, scheduled, convolutions)


def _description(target: Target) -> dict[str, object]:
    """With multiplications and sums fused, as C compilers do by default."""
    llvm = {key: list(v) if isinstance(v, tuple) else v for key, v in target.llvm.items()}
    return {"kind": "llvm", "opt-level": 3, **llvm, "fast-math-contract": True}


def _straight_line(model: bytes, where: Any) -> Any:
    """TVM's operators, fused, as calls of functions on planned memory."""
    t = relax.transform
    loaded = frontend.from_onnx(onnx.ModelProto.FromString(model), keep_params_in_input=False)
    passes = [t.LegalizeOps(), t.RewriteDataflowReshape(), t.ToNonDataflow()]
    passes += [t.RemovePurityChecking(), t.CallTIRRewrite(), t.StaticPlanBlockMemory()]
    with where:
        fused = relax.get_pipeline("zero")(t.DecomposeOpsForInference()(loaded))
        return tvm.transform.Sequential(passes)(fused)


# ---- schedule --------------------------------------------------------------------------


def _scheduled(module: Any, where: Any, tile: tuple[int, int]) -> tuple[Any, int, int]:
    """The module with scheduled convolutions, how many, and of how many."""
    functions: dict[Any, Any] = {}
    done = wanted = 0
    for name, function in module.functions.items():
        functions[name] = function
        if isinstance(function, tirx.PrimFunc) and "conv2d" in name.name_hint:
            wanted += 1
            try:
                with where:
                    functions[name] = _convolution(function, *tile)
                done += 1
            except s_tir.ScheduleError:
                continue  # it stays as TVM made it, and the caller is told how many
    return tvm.IRModule(functions, attrs=module.attrs), done, wanted


def _convolution(function: Any, n_pixels: int, n_channels: int) -> Any:
    """Sums of a tile stay in registers; what follows is fused behind them."""
    schedule = s_tir.Schedule(
        tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    )
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    names = [schedule.get(block).name_hint for block in blocks]
    index = next(i for i, name in enumerate(names) if "conv" in name)
    sums = blocks[index]
    batch, channel, row, column, *reduction = schedule.get_loops(sums)
    width, depth = (int(schedule.get(loop).extent) for loop in (column, channel))
    columns, pixels = schedule.split(column, [None, math.gcd(width, n_pixels)])
    outer, channels = schedule.split(channel, [None, math.gcd(depth, n_channels)])
    schedule.reorder(batch, outer, row, columns, *reduction, channels, pixels)
    schedule.vectorize(pixels)
    for loop in (channels, *reduction[-2:]):
        schedule.unroll(loop)
    after = blocks[index + 1 :]
    for block in after[:-1]:
        schedule.compute_inline(block)
    if after:
        schedule.reverse_compute_at(after[-1], columns)
        schedule.vectorize(schedule.get_loops(after[-1])[-1])
    schedule.decompose_reduction(sums, reduction[0])
    return schedule.mod["main"].without_attr("global_symbol")


def _kernels(module: Any, where: Any) -> Any:
    """Machine code of all functions."""
    t = s_tir.transform
    functions = {
        name: function
        for name, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc)
    }
    passes = [t.CanonicalizeLoop(), t.LowerInitBlock()]
    passes += [t.PlanAndUpdateBufferAllocationLocation(), t.ConvertBlocksToOpaque()]
    passes += [t.CompactBufferAllocation(), t.LowerMatchBuffer(), t.StmtSimplify()]
    passes += [t.LowerOpaqueBlock()]
    bound = tirx.transform.BindTarget(where.with_host(where))(tvm.IRModule(functions))
    with where:
        flat = tvm.transform.Sequential(passes)(bound)
    return tvm.get_global_func("target.build.llvm")(lowered(flat, where), where)


# ---- driver ----------------------------------------------------------------------------


def _driver(module: Any) -> tuple[str, list[np.ndarray]]:
    """C that calls the functions in order, and the constants that it names."""
    main = module["main"]
    names: dict[Any, str] = {}
    constants: list[np.ndarray] = []
    storages: dict[Any, int] = {}
    calls: list[str] = []
    declared: dict[str, int] = {}
    used = 0
    (given,) = main.params
    names[given] = "x"

    def named(value: Any) -> str:
        if isinstance(value, tvm.ir.GenericConst):
            constants.append(value.value.numpy())
            return f"constant_{len(constants) - 1}"
        return names[value]

    for binding in (b for block in main.body.blocks for b in block.bindings):
        made, value = binding.var, binding.value
        if isinstance(value, relax.Var):
            names[made] = names[value]
        elif isinstance(value.op, tvm.ir.GlobalVar):
            words = [f"(void *){named(argument)}" for argument in value.args]
            declared[value.op.name_hint] = len(words)
            calls.append(f"    {value.op.name_hint}({', '.join(words)});")
        elif value.op.name == "relax.memory.alloc_storage":
            storages[made] = used
            used += -(-int(value.args[0].values[0]) // 64) * 64
        elif value.op.name == "relax.memory.alloc_tensor":
            names[made] = f"(arena + {storages[value.args[0]] + int(value.args[1].value)})"
        elif value.op.name == "relax.builtin.alloc_tensor":
            names[made] = "y"
        elif value.op.name == "relax.reshape":
            names[made] = names[value.args[0]]
        elif not value.op.name.startswith("relax.memory.kill"):
            raise UnsupportedError(f"float build must know {value.op.name}, and does not")
    lines = ["#include <stdint.h>", "#include <stddef.h>"]
    lines += [
        f"extern int32_t {name}({', '.join(['void *'] * count)});"
        for name, count in sorted(declared.items())
    ]
    lines += [f"extern const char constant_{i}[];" for i in range(len(constants))]
    lines += [
        f"static char arena[{max(used, 1)}] __attribute__((aligned(64)));",
        f"const size_t model_input_bytes = {_nbytes(given.ty)};",
        f"const size_t model_output_bytes = {_nbytes(main.ret_ty)};",
        "void model_run(const void *x, void *y)",
        "{",
        *calls,
        "}",
        "",
    ]
    return "\n".join(lines), constants


def _nbytes(kind: Any) -> int:
    dims = kind.shape.values if hasattr(kind.shape, "values") else kind.shape
    return int(np.prod([int(size) for size in dims])) * np.dtype(str(kind.dtype)).itemsize


def _constants(constants: list[np.ndarray], folder: Path) -> str:
    """Assembly that includes the arrays."""
    lines = [".section .rodata"]
    for index, array in enumerate(constants):
        array.tofile(folder / f"constant_{index}")
        lines += [".balign 64", f".global constant_{index}", f"constant_{index}:"]
        lines += [f'.incbin "{folder}/constant_{index}"']
    return "\n".join([*lines, '.section .note.GNU-stack,"",%progbits', ""])
