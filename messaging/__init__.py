"""The domain: phones, calendars, messages, gateways and the ledger. Knows nothing of Temporal."""
