"""TVMScript text => an object file with one plain C function; the only door to TVM.

TVM's own pipeline wraps a function for its runtime. This one keeps buffers as raw pointers,
`int32_t f(void *, ..)`, and keeps every local buffer on the stack, where LLVM promotes it to
registers: TVM would ask a runtime for those of 1 KiB and more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TVM_NUM_THREADS", "1")  # read when the library is loaded


@contextmanager
def _without_torch() -> Generator[None]:
    """TVM imports torch if it can, for arrays that we never hand over: two thirds of its time."""
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        del sys.modules["torch"]


with _without_torch():
    import tvm as _tvm
    from tvm import tirx as _tirx

tvm: Any = _tvm  # untyped: Any ends at the functions below
tirx: Any = _tirx


def parsed(source: str, symbol: str) -> Any:
    """An IRModule of one PrimFunc called `symbol`."""
    return tvm.IRModule({symbol: tvm.script.from_source(source)})


def compile_object(source: str, symbol: str, target: Mapping[str, object], path: Path) -> None:
    """Write the object file of a kernel.

    Args:
        source: TVMScript of one function.
        symbol: the name of the C function.
        target: TVM's description of an LLVM target.
        path: where the object goes; its folder must exist.
    """
    _built(source, symbol, target).write_to_file(str(path))


def assembly(source: str, symbol: str, target: Mapping[str, object]) -> str:
    """The assembly text of a kernel, for people and tests."""
    return str(_built(source, symbol, target).inspect_source("asm"))


def _built(source: str, symbol: str, target: Mapping[str, object]) -> Any:
    where = tvm.target.Target(dict(target))
    module = lowered(parsed(source, symbol), where)
    return tvm.get_global_func("target.build.llvm")(module, where)


def lowered(module: Any, target: Any) -> Any:
    """PrimFuncs over buffers => functions over pointers, vectors and unrolled loops."""
    passes = [
        tirx.transform.BindTarget(target.with_host(target)),
        tirx.transform.FlattenBuffer(),
        tirx.transform.NarrowDataType(32),
        tirx.transform.VectorizeLoop(True),
        tirx.transform.UnrollLoop(),
        tirx.transform.StmtSimplify(),
        tirx.transform.RemoveNoOp(),
        tirx.transform.CommonSubexprElim(),
        tirx.transform.VerifyMemory(),
        tvm.transform.module_pass(_on_stack, opt_level=0),
        tvm.transform.module_pass(_unpacked, opt_level=0),
        tirx.transform.LowerTVMBuiltin(),
        tirx.transform.LowerIntrin(),
    ]
    with target:
        return tvm.transform.Sequential(passes)(module)


def _on_stack(module: Any, _: Any) -> Any:
    """Mark every local buffer so that LowerTVMBuiltin leaves it to LLVM."""
    functions = {
        name: tirx.PrimFunc(f.params, _marked(f.body), f.ret_type, f.attrs)
        for name, f in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _marked(body: Any) -> Any:
    if isinstance(body, tirx.AllocBuffer):
        return tirx.AllocBuffer(body.buffer, {"disable_lower_builtin": tirx.IntImm("bool", 1)})
    if isinstance(body, tirx.SeqStmt):
        return tirx.SeqStmt([_marked(statement) for statement in body.seq])
    if isinstance(body, tirx.For):
        inner = _marked(body.body)
        loop = (body.loop_var, body.min, body.extent, body.kind, inner)
        return tirx.For(*loop, body.thread_binding, body.annotations, body.step)
    if isinstance(body, tirx.AttrStmt):
        return tirx.AttrStmt(body.node, body.attr_key, body.value, _marked(body.body))
    return body


def _unpacked(module: Any, _: Any) -> Any:
    """Pointers instead of buffers; they never overlap, and 0 is returned."""
    functions: dict[Any, Any] = {}
    for name, f in module.functions.items():
        pointers = [_pointer(parameter) for parameter in f.params]
        views = [
            tirx.DeclBuffer(parameter, data=pointer)
            for parameter, pointer in zip(f.params, pointers, strict=True)
            if not _is_scalar(parameter)
        ]
        body = tirx.SeqStmt([*views, f.body, tirx.Return(tirx.IntImm("int32", 0))])
        made = tirx.PrimFunc(pointers, body, tvm.ir.PrimType("int32"), f.attrs)
        made = made.with_attr("global_symbol", name.name_hint)
        functions[name] = made.with_attr("tirx.noalias", True)
    return tvm.IRModule(functions, attrs=module.attrs)


def _pointer(parameter: Any) -> Any:
    """What the C function takes for a parameter: scalars stay what they are."""
    if _is_scalar(parameter):
        return parameter
    element = tvm.ir.PrimType(str(parameter.dtype))
    return tirx.Var(f"{parameter.name}_ptr", tvm.ir.PointerType(element, "global"))


def _is_scalar(parameter: Any) -> bool:
    return isinstance(parameter.ty, tvm.ir.PrimType)
