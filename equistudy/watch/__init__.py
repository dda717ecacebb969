"""A page that shows a study while it runs: what runs, what failed, and what the results say so far."""
