"""Results as pages, tables and drawings."""
