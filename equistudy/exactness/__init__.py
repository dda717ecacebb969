"""Finds the layers that break exact equivariance at an input size, says why, and finds the nearest exact sizes."""
