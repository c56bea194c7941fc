"""The IDs, search attributes and summaries of our workflows, and the calls that start and signal them."""
