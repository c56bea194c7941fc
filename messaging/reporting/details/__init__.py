"""What the Temporal Web UI shows on the pages of workflows, in Markdown, as the ledger knows it at that moment."""
