"""YAML files of operators, and what can be wrong with any of them."""
