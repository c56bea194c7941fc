"""Workflow code: orchestration only. It uses no clock but workflow time, no database, no network and nothing random.

A change to the commands of a workflow that may be running needs ``workflow.patched`` and a replayed history; see
CONTRIBUTING.md.
"""
