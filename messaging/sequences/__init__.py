"""Sequences: their files and edits, enrollments, and what comes next for a contact."""
