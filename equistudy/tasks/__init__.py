"""Tasks: the loss that is optimised, and the scores of the outputs."""
