"""Figures, self-contained report pages and exports; the only package that imports Altair."""
