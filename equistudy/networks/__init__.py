"""Torch modules that take plain values: the networks that the specs in `models` describe."""
