"""What is optimised, and how an output is scored."""
