"""What was used: the state and the energy of each card between two ticks."""
