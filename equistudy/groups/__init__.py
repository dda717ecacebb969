"""Symmetry groups: elements and how they act on images and feature maps."""
