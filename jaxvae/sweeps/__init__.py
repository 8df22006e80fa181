"""Many runs as units of work, which any number of processes and machines share by one folder."""
