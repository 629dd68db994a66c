"""What moves: clock, reader and tick threads, periodic jobs, life cycle."""
