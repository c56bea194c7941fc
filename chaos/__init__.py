"""Everything dies at random while messages are on their way, and then every message is accounted for."""
