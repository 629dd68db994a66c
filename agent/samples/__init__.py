"""What was seen: readings of cards and processes at one instant, as plain values."""
