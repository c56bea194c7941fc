"""Chaos runs: processes are killed at random while messages are under way; then every message is accounted for."""
