"""Reports of an evaluation: Markdown for people, JUnit and JSON for tools, a summary of at most 4 KiB."""
