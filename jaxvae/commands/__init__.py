"""The subcommands of `jaxvae`, one a file: what it runs, and what it prints."""
