"""`jaxvae advise`: how large a bottleneck images need, by training as few models as decide it."""
