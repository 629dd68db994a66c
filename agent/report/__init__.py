"""What a period cost and what that rests on: from ledger rows to the values of a report."""
