"""What it costs: dated price records, held against a card and a moment."""
