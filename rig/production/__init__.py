"""Runs what ``docker-compose.yml`` describes as plain processes on this machine: ``python -m rig.production``."""
