"""What people would get of a sequence or a campaign, rendered by the code that sends, before anything is sent."""
