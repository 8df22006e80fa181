"""How large a bottleneck must be: what to train for an answer, what was found, and in words."""
