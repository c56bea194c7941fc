"""The command line: it parses, calls ``operations``, and prints."""
