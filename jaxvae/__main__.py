"""`python -m jaxvae`: the `jaxvae` command."""

import sys

from jaxvae.cli import main

if __name__ == "__main__":
    sys.exit(main())
