"""What the ledger holds of a person: to give it to them, to erase it, and to let it go after a time."""
