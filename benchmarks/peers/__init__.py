"""The peers of the metric engine: one module each, run in an environment of its own."""
