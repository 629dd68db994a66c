"""What is told: Prometheus metrics and pages, made from the current view."""
