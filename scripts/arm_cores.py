"""The Arm cores that other engines are run on under qemu-user, and what they find there.

An engine asks the system about its processor and picks its kernels: each core has a folder of
its own, which answers as Linux does on that core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SYSROOT = ROOT / "out/arm_sysroot"
PYTHON = "3.11"
PROGRAM = f"usr/bin/python{PYTHON}"  # inside a prefix


@dataclass(frozen=True)
class System:
    """A Python for an architecture, and what it can import.

    Attributes:
        name: of the architecture, as Debian calls it.
        emulator: of QEMU's user mode.
        packages: of Debian; apt adds what they depend on.
        wheels: for pip.
        platforms: tags of wheels that run there.
        libraries: folders with shared libraries.
        imports: folders with modules, relative to the prefix.
        getppid: number of that system call there (Linux, arch/*/tools/syscall*.tbl).
        engines: what runs there, by the names of scripts/peers/arm_run.py.
    """

    name: str
    emulator: str
    packages: tuple[str, ...]
    wheels: tuple[str, ...]
    platforms: tuple[str, ...]
    libraries: tuple[str, ...]
    imports: tuple[str, ...]
    getppid: int
    engines: tuple[str, ...]


ARM64 = System(
    name="arm64",
    emulator="qemu-aarch64",
    packages=("python3.11", "libstdc++6"),
    wheels=("onnxruntime==1.31.1", "ai-edge-litert==2.3.0", "numpy==2.4.6"),
    platforms=("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64"),
    libraries=("/usr/lib/aarch64-linux-gnu", "/lib/aarch64-linux-gnu"),
    imports=("site",),
    getppid=173,
    engines=("litert", "onnxruntime"),
)
# PyPI has neither onnxruntime nor numpy for it, and LiteRT only under its former name, with
# ruy's kernels instead of XNNPACK.
ARMHF = System(
    name="armhf",
    emulator="qemu-arm",
    packages=("python3.11", "python3-numpy", "libstdc++6"),
    wheels=("tflite-runtime==2.14.0",),
    platforms=("manylinux_2_34_armv7l",),
    libraries=tuple(
        f"{folder}/arm-linux-gnueabihf{inside}"
        for folder, inside in (
            ("/usr/lib", ""),
            ("/lib", ""),
            ("/usr/lib", "/blas"),
            ("/usr/lib", "/lapack"),
        )
    ),
    imports=("site", "usr/lib/python3/dist-packages"),
    getppid=64,
    engines=("litert",),
)
SYSTEMS = (ARM64, ARMHF)


@dataclass(frozen=True)
class Core:
    """What a program that asks the system about its processor is told.

    Attributes:
        name: as the emulator's `-cpu help` lists it.
        system: what runs there.
        architecture: 7 or 8.
        part: of the main identification register (Arm's technical reference manual of the
            core, section "Main ID Register").
        features: as Linux names them in /proc/cpuinfo.
    """

    name: str
    system: System
    architecture: int
    part: int
    features: str

    @property
    def prefix(self) -> Path:
        """What the emulator's option -L takes."""
        return SYSROOT / self.name

    @property
    def cpuinfo(self) -> str:
        """/proc/cpuinfo of a machine with one such core."""
        fields = {
            "processor": 0,
            "BogoMIPS": "100.00",
            "Features": self.features,
            "CPU implementer": "0x41",  # Arm
            "CPU architecture": self.architecture,
            "CPU variant": "0x0",
            "CPU part": f"{self.part:#x}",
            "CPU revision": 4,
        }
        return "".join(f"{name}\t: {value}\n" for name, value in fields.items())

    def command(self, words: Sequence[str], *options: str) -> list[str]:
        """A command that runs the prefix's Python; `words` are for it, `options` for QEMU."""
        environment = {
            "LD_LIBRARY_PATH": ":".join(self.system.libraries),
            "PYTHONPATH": ":".join(str(self.prefix / name) for name in self.system.imports),
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        settings = [word for k, v in environment.items() for word in ("-E", f"{k}={v}")]
        emulator = [self.system.emulator, "-cpu", self.name, "-L", str(self.prefix)]
        return [*emulator, *settings, *options, str(self.prefix / PROGRAM), *words]


_ARMV7 = "half thumb fastmult vfp edsp neon vfpv3 tls vfpd32"
_ARMV8 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_ARMV8_2 = f"{_ARMV8} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp ssbs"
CORES = {
    core.name: core
    for core in (
        Core("cortex-a53", ARM64, 8, 0xD03, _ARMV8),
        Core("cortex-a72", ARM64, 8, 0xD08, _ARMV8),
        Core("cortex-a76", ARM64, 8, 0xD0B, _ARMV8_2),
        Core("cortex-a9", ARMHF, 7, 0xC09, _ARMV7),
        # For floats: ruy's kernels for them need VFPv4, which the Cortex-A9 has not.
        Core("cortex-a15", ARMHF, 7, 0xC0F, f"{_ARMV7} vfpv4 idiva idivt"),
    )
}
