"""Which layer breaks exact equivariance at which input size, why, and the nearest sizes at which none does."""
