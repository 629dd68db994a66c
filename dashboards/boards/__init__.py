"""One board in each module."""
