"""A report, and its four forms: a table in the terminal, JSON, Markdown, and an HTML page."""
