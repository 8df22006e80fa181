"""What the subcommands of `jaxvae` are told, one a file: the standard library reads it alone.

The module of the same name in `jaxvae.commands`, which imports JAX, is imported once the words
of a command line are known to be right.
"""
