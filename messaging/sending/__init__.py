"""One message from its claim to what came of it: the ledger, the dispatch, receipts."""
