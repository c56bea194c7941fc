"""What is measured now and then, and needs more than is installed: a peer of the engine."""
