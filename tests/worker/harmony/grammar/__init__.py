"""What is wanted, as a structural tag."""
