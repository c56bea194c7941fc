"""Messages over days: files, edits, enrollments, and what comes next for a contact."""
