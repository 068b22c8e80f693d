"""Completions of one arm from a file of any tool: which tool wrote it is seen in its rows."""
