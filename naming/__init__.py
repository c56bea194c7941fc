"""How Temporal knows our workflows: their names, IDs, search attributes and summaries, whoever starts them."""
