"""Benchmarks that need extra packages: a comparison with a peer of the engine."""
