"""Networks by spec; their stages are read by name."""
