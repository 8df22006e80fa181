"""The subcommands of `jaxvae`, one a file: what each runs and prints."""
