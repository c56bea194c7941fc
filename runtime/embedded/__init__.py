"""Real servers below the checkout, for those who have none of their own."""
