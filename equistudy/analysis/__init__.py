"""Tidy frames, intervals, paired contrasts, trends and verdicts (Polars, SciPy)."""
