"""The HTTP endpoint of a worker: where gateways tell what became of messages."""
