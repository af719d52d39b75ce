"""Hold a report as plain data, and render it as HTML, Markdown or a W&B Report."""
