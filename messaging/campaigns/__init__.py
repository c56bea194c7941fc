"""One message to every lead of a target: files, edits, audience, feeding."""
