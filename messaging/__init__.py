"""The domain: phones, calendars, messages, gateways and the ledger. It does not depend on Temporal."""
