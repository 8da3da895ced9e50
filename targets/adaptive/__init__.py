"""Bundles whose edge chooses its cut for each inference, built, opened, run and verified."""
