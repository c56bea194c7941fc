"""What goes out to other systems and to people: events and alerts, from the outbox to webhooks and mailboxes."""
