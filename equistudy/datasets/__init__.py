"""Labelled images: embedded digits, and readers of the original file formats."""
