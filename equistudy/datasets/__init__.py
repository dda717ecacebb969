"""Datasets: embedded and generated ones, and readers of the original file formats of published ones."""
