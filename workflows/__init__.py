"""Orchestration only: no clock but workflow time, no database, no network, nothing random.

What changes the commands of a workflow that may be running needs ``workflow.patched`` and a replayed history; see
CONTRIBUTING.md.
"""
