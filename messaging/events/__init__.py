"""Who did what: the acts of people, of services and of Drumbeat itself."""
