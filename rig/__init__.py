"""Shared by chaos, benchmarks and tests: servers and workers on this machine, fictional people, and waiting."""
