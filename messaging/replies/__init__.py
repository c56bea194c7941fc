"""Inbound messages: finding the sender, the meaning, and acting on it."""
