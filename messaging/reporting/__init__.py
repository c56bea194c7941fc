"""Reports for operators over the ledger, and the audit of its promises."""
