"""Train variational autoencoders in JAX and measure what their layers know."""

__version__ = "0.1.0"
