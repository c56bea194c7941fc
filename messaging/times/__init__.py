"""Calendars, local times, sending hours, durations."""
