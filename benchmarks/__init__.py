"""What the documentation states of speed, errors and stored runs: `python -m benchmarks.NAME`."""
