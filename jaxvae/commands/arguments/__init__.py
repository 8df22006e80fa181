"""The options of the subcommands of `jaxvae`, one a file, which only the standard library reads.

The module of the same name in `jaxvae.commands`, which imports JAX, is imported once the words
of a command line are known to be right.
"""
