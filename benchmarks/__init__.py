"""What Drumbeat costs, measured on real servers started for it."""
