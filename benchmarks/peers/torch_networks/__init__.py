"""The networks of `benchmarks.training` in PyTorch, one a file, with our names of layers."""
