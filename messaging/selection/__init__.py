"""Leads and contacts chosen by a filter: lists of them, and changes of many at once."""
