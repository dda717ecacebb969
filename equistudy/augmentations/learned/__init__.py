"""Distributions over augmentations that are learned together with the weights."""
