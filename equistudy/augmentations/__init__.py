"""Random transformations of training batches; every sample draws its own element."""
