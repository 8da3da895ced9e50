"""Devices that run a built part: this machine, an emulated one, or a board."""
