"""Layers that are equivariant to finite groups of symmetries of the square, exactly where strides and padding allow."""
