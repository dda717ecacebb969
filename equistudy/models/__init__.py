"""Specs of networks; their stages are read by name."""
