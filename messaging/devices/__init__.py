"""Devices: WhatsApp senders with their pace, limits and hours."""
