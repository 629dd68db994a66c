"""What boards and rules are made of."""
