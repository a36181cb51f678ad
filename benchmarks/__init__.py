"""Benchmarks behind our own claims of speed and trust; each prints one JSON line last."""
