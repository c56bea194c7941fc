"""What chaos, benchmarks and tests share: servers and workers on this machine, people who are none, and how to wait."""
