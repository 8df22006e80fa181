"""`jaxvae bench`: measures how fast metrics and training are on this device."""
