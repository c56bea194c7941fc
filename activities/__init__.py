"""Activities: everything that workflows do outside Temporal, such as reading the database and sending messages."""
