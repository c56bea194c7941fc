"""Settings, the Temporal client, the database pool, the embedded servers."""
