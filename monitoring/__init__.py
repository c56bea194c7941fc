"""The HTTP endpoint of a worker for Prometheus and for health checks."""
