"""What every room uses: errors, the database's types, phones, words."""
