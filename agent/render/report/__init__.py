"""A report as people and programs read it: terminal, Markdown, CSV, JSON, a page that stands alone."""
