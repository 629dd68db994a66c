"""What the operator wants: the schema, and a loader that reports every fault at once."""
