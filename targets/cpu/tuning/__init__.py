"""Tiles that a search found better than the rule of their family: docs/tuning.md."""
