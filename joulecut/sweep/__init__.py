"""Sweeps: many trials, on many machines, each run once, and the front of the best."""
