"""A board that PYNQ.remote reaches, without a board: its gRPC server over the simulated accelerator.

    python -m joulecut.targets.fpga.remote_board z7020-wide --bitstream .

and then, in another process, pynq as if a Kria were at that address:

    PYNQ_REMOTE_DEVICES=127.0.0.1 python -c 'import pynq; pynq.Overlay("joulecut.bit")'

pynq's client has no setting for the port, 7967; for a second board take another address of the
loopback (`--address 127.0.0.2`). This file runs where pynq is installed, which brings grpc and the
messages. It serves what the client needs for overlays, memory and registers; the rest says that it
is not there.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import importlib.util
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from joulecut.hw.config import CONFIGS
from joulecut.hw.simulator import SimulationError
from joulecut.targets.fpga.board_services import BoardServices
from joulecut.targets.fpga.handoff import write_bitstream
from joulecut.targets.fpga.processors import ZYNQ_ULTRASCALE
from joulecut.targets.fpga.simulated_board import SimulatedBoard

PORT = 7967  # pynq's
_SERVICES = ("remote_device", "mmio", "buffer", "gpio")  # the last since pynq 4.0
_CODES: dict[type[Exception], grpc.StatusCode] = {
    ValueError: grpc.StatusCode.INVALID_ARGUMENT,
    FileNotFoundError: grpc.StatusCode.NOT_FOUND,
    MemoryError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    SimulationError: grpc.StatusCode.INTERNAL,
}
_KINDS = {  # whether requests, and answers, are streams
    (False, False): grpc.unary_unary_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
}


def serve(services: BoardServices, address: str) -> grpc.Server:
    """A server that has started.

    Args:
        services: what it answers.
        address: and port, such as 127.0.0.1:7967.

    Raises:
        RuntimeError: the address cannot be had.
    """
    # One call at a time: the simulation is one.
    server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    for name in _SERVICES:
        if importlib.util.find_spec(f"pynq.remote.{name}_pb2"):
            messages: Any = importlib.import_module(f"pynq.remote.{name}_pb2")
            for service in messages.DESCRIPTOR.services_by_name.values():
                handlers = {
                    method.name: _handler(
                        services.procedures.get(f"{service.full_name}/{method.name}"),
                        method,
                        getattr(messages, method.input_type.name),
                        getattr(messages, method.output_type.name),
                    )
                    for method in service.methods
                }
                server.add_generic_rpc_handlers(
                    [grpc.method_handlers_generic_handler(service.full_name, handlers)]
                )
    server.add_insecure_port(address)
    server.start()
    return server


def _handler(
    procedure: Callable[[Any], Any] | None, method: Any, request: Any, reply: Any
) -> grpc.RpcMethodHandler:
    def one(asked: Any, context: grpc.ServicerContext) -> Any:
        return _reply(reply, called(asked, context))

    def many(asked: Any, context: grpc.ServicerContext) -> Any:
        return (_reply(reply, each) for each in called(asked, context))

    def called(asked: Any, context: grpc.ServicerContext) -> Any:
        if procedure is None:
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"the simulated board must not be asked for '{method.full_name}': it has files, "
                "registers and buffers alone; use a board",
            )
        try:
            return procedure(asked)
        except tuple(_CODES) as error:
            kind = next(kind for kind in _CODES if isinstance(error, kind))
            context.abort(_CODES[kind], str(error))

    return _KINDS[method.client_streaming, method.server_streaming](
        many if method.server_streaming else one,
        request_deserializer=request.FromString,
        response_serializer=reply.SerializeToString,
    )


def _reply(kind: Any, values: dict[str, Any]) -> Any:
    """A message; what pynq 3.1 declares as signed is sent so."""
    fields = kind.DESCRIPTOR.fields_by_name
    signed = {name for name in values if fields[name].type == fields[name].TYPE_INT32}
    return kind(
        **{
            name: ctypes.c_int32(value).value if name in signed else value
            for name, value in values.items()
        }
    )


def main() -> None:
    """Serves until it is interrupted."""
    parser = argparse.ArgumentParser(description="a simulated board that PYNQ.remote reaches")
    parser.add_argument("configuration", choices=CONFIGS, help="of the accelerator")
    parser.add_argument("--address", default="127.0.0.1", help="where to listen")
    parser.add_argument("--bitstream", type=Path, help="folder for a joulecut.bit and its .hwh")
    parser.add_argument("--library", type=Path, help="simulation that was built elsewhere")
    asked = parser.parse_args()
    config, processor = CONFIGS[asked.configuration], ZYNQ_ULTRASCALE
    if asked.bitstream:
        divisor = math.ceil(processor.clock_mhz * 1e6 / config.clock_hz)
        write_bitstream(asked.bitstream, processor, processor.clock_mhz / divisor)
    board = SimulatedBoard(config, processor=processor, library=asked.library)
    server = serve(BoardServices(board), f"{asked.address}:{PORT}")
    print(f"listening at {asked.address}:{PORT}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
