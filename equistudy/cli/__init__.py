"""The command line: one file a command; data goes to stdout, everything else to stderr."""
