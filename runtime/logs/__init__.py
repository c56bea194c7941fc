"""The worker's log: in text or JSON, with the workflow and the message of each line, and without what concerns people."""
