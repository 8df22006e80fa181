"""How fast metrics and training are on this device: what `jaxvae bench` measures."""
