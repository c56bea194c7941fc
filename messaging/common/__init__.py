"""Shared helpers: errors, database types, phones, words."""
