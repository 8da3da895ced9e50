"""Quantize float networks after training: calibrate, choose ranges, write QDQ, compare."""
