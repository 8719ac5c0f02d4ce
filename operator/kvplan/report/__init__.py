"""A plan as a table, Markdown or one HTML page."""
