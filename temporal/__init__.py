"""How Temporal knows our workflows: their IDs, names, search attributes and summaries; and how they are started and signalled."""
