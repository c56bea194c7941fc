"""What people send to our numbers: whose it is, what it means, and what follows from it."""
