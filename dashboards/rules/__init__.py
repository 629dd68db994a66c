"""Recording and alert rules: one module for each question, in the order they are evaluated."""
