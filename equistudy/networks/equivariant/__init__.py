"""Layers that commute with a finite group of symmetries of the square, exactly where their windows do."""
