"""One collector a question, each a function from the view to metric families."""
