"""How equivariance is computed: streaming, mergeable sums, grids, intervals and rows, from plain values."""
