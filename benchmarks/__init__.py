"""Speed of the library against its peers: one file per subject, `python -m benchmarks.NAME`."""
