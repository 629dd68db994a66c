"""What must survive: the SQLite ledger of one node."""
