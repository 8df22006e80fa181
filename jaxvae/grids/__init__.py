"""`jaxvae sweep`: trains every combination of some settings, and measures and shows the models."""
