"""Sending one message, from its claim to its outcome: the ledger, the dispatch to gateways, receipts."""
