"""Leads: how they are cleaned, stored, imported and exported."""
