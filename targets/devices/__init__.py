"""Devices that run a built part: this machine, or an emulated one."""
