"""What a user types and sees: commands, live progress, tables; data on stdout, the rest on stderr."""
