"""The HTTP endpoint of a worker for webhooks of gateways."""
