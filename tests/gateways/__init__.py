"""What the conformance suite has to know of each gateway: one module each, named as in ``KINDS``, with a ``CASE``."""
