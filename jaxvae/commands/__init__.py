"""The subcommands of `jaxvae`, one a file: its arguments, what it runs, what it prints."""
