"""Makes out/arm_sysroot: Python, onnxruntime and LiteRT for Arm, to run under qemu-user.

Nothing of it is installed on this machine: Debian's packages for the foreign architecture come
through apt with a state of its own and are only unpacked, and pip puts foreign wheels into a
folder. The second run finds everything in place.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from arm_cores import CORES, PROGRAM, PYTHON, ROOT, SYSROOT, SYSTEMS, Core, System
from rich.console import Console

from joulecut.compiler.errors import DeviceError


def main() -> None:
    """Make the prefixes, and show what each step does."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        for system in SYSTEMS:
            if not is_complete(system):
                _make(system, console)
    except DeviceError as error:
        console.print(f"arm_sysroot: {error}", style="red", markup=False)
        sys.exit(error.exit_code)
    size = sum(f.lstat().st_size for f in SYSROOT.rglob("*") if f.is_file()) >> 20
    console.print(f"{SYSROOT.relative_to(ROOT)}: {', '.join(CORES)}; {size} MiB")


def ready(core: str) -> Core:
    """A core whose prefix is complete.

    Raises:
        DeviceError: there is no such core, or its prefix is not there.
    """
    if core not in CORES:
        raise DeviceError(f"core must be one of {', '.join(CORES)}, not '{core}'")
    found = CORES[core]
    if not is_complete(found.system):
        raise DeviceError(
            f"{SYSROOT.relative_to(ROOT)} must hold {', '.join(found.system.wheels)} for "
            f"{found.system.name}, and does not; run make arm-sysroot"
        )
    return found


def recipe(system: System) -> str:
    """Changes with whatever decides what is in the folders."""
    cores = [core for core in CORES.values() if core.system == system]
    return hashlib.sha256(repr((PYTHON, system, cores)).encode()).hexdigest()[:16]


def is_complete(system: System) -> bool:
    """Whether a former run finished with this recipe, and its files are still there."""
    cores = [core for core in CORES.values() if core.system == system]
    try:
        stamp = (SYSROOT / system.name / "stamp").read_text()
    except OSError:
        return False
    files = (core.prefix / name for core in cores for name in (PROGRAM, "proc/cpuinfo"))
    return stamp == recipe(system) and all(file.is_file() for file in files)


def _make(system: System, console: Console) -> None:
    """Unpack Debian's packages and the wheels, write what each core tells, try each."""
    needed = {"apt-get": "apt", "dpkg-deb": "dpkg", system.emulator: "qemu-user"}
    for tool, package in needed.items():
        if shutil.which(tool) is None:
            raise DeviceError(
                f"{tool} must be installed to make {SYSROOT.name}, and is not; "
                f"install Debian's {package}"
            )
    base = SYSROOT / system.name
    cores = [core for core in CORES.values() if core.system == system]
    for stale in (base, *(core.prefix for core in cores)):
        shutil.rmtree(stale, ignore_errors=True)
    with console.status("") as status:
        status.update(
            f"apt: {', '.join(system.packages)} for {system.name}, and what they need"
        )
        packages = _download_packages(system, SYSROOT / "apt" / system.name)
        for index, package in enumerate(packages, 1):
            status.update(f"unpack {index} of {len(packages)}: {package.name}")
            _run(["dpkg-deb", "-x", str(package), str(base)], "unpack a package")
        console.print(f"{system.name}: {len(packages)} packages unpacked")
        status.update(f"pip: {', '.join(system.wheels)} for {system.name}")
        _run(_pip_command(system, base / "site"), "fetch the wheels")
        for core in cores:
            _write_prefix(base, core)
            status.update(f"try {core.name}")
            console.print(f"{core.name}: {_versions(core)}")
    (base / "stamp").write_text(recipe(system))


def _download_packages(system: System, state: Path) -> list[Path]:
    """The packages and all that they need, from the sources that apt knows here."""
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").write_text("")  # nothing is installed: apt fetches the whole closure
    options = {
        "APT::Architecture": system.name,
        "APT::Architectures": system.name,
        "APT::Sandbox::User": "",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state,
        "Dir::Cache::archives": state / "archives",
    }
    apt = ["apt-get", "-q", *(word for k, v in options.items() for word in ("-o", f"{k}={v}"))]
    try:
        _run([*apt, "update"], "read the package lists")
        trouble = ""
    except DeviceError as error:  # one list of several may be missing: the packages decide
        trouble = f"\n{error}"
    for former in (state / "archives").glob("*.deb"):
        former.unlink()  # it may be another version
    wanted = ["-y", "--no-install-recommends", "--download-only", "install", *system.packages]
    try:
        _run([*apt, *wanted], "fetch the packages")
    except DeviceError as error:
        raise DeviceError(f"{error}{trouble}") from error
    return sorted((state / "archives").glob("*.deb"))


def _pip_command(system: System, site: Path) -> list[str]:
    platforms = [word for tag in system.platforms for word in ("--platform", tag)]
    interpreter = ["--python-version", PYTHON, "--implementation", "cp"]
    options = [*platforms, *interpreter, "--only-binary=:all:", "--no-compile", "--quiet"]
    if "numpy" in "".join(system.packages):
        options.append("--no-deps")  # numpy is Debian's
    pip = [sys.executable, "-m", "pip", "install", *options, "--target", str(site)]
    return [*pip, *system.wheels]


def _write_prefix(base: Path, core: Core) -> None:
    """A folder per core: links to the common files, and what the core tells about itself.

    The engines' reader of the processor takes the host's files otherwise, and then they pick
    other kernels or crash.
    """
    core.prefix.mkdir()
    for entry in base.iterdir():
        (core.prefix / entry.name).symlink_to(Path("..") / base.name / entry.name)
    cpu = core.prefix / "sys/devices/system/cpu"
    cpu.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (cpu / name).write_text("0\n")
    (core.prefix / "proc").mkdir()
    (core.prefix / "proc/cpuinfo").write_text(core.cpuinfo)


def _versions(core: Core) -> str:
    """The versions that the emulated Python finds: the proof that the prefix works."""
    names = [wheel.partition("==")[0] for wheel in core.system.wheels]
    modules = ", ".join(name.replace("-", "_") for name in names)
    code = (
        f"import {modules}; from importlib.metadata import version; "
        f"print(*(f'{{n}} {{version(n)}}' for n in {names}), sep=', ')"
    )
    return _run(core.command(["-c", code]), f"run Python on {core.name}").strip()


def _run(command: Sequence[str], purpose: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise DeviceError(
            f"{command[0]} must {purpose}, and ended with {done.returncode}:\n{said}"
        )
    return done.stdout


if __name__ == "__main__":
    main()
