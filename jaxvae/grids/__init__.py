"""Every combination of some settings, trained as one sweep: what is measured of it, and shown."""
