"""Campaigns, which send one message to every lead of a target: files, edits, audience, feeding."""
