"""Everything that touches the outside world on behalf of a workflow."""
