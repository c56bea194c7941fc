"""What came of a campaign, a sequence, a device or a week: computed in one place, and written in several forms."""
