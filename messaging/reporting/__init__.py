"""What is told to operators: reports over the ledger, and the audit of its promises."""
