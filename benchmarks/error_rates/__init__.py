"""How often conclusions are wrong on data of which the truth is known, one conclusion a file."""
