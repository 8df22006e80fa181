"""One file per claim: the configuration is code."""
