"""Which layer is learned when? The layers of a VAE during training, compared with its last ones.

    python examples/tutorials/learning.py

For every layer it prints the debiased CKA between the layer after 0, 1, 2, 4 and 8 epochs and the
same layer after 16. It is 1 if the layer is already in its final state, up to rotation and scale.
"""

import jax
import optax

from jaxvae.analysis import capture
from jaxvae.data import load
from jaxvae.metrics import debiased_cka
from jaxvae.models import dense_vae
from jaxvae.objectives import beta_vae
from jaxvae.training import train, vae_trainer

EPOCHS = (0, 1, 2, 4, 8, 16)

data = load("sprites", image_size=16, train_size=5000, test_size=500)
vae = dense_vae(image_shape=(16, 16, 1), latents=8, widths=(256, 128))
trainer = vae_trainer(vae, beta_vae, optax.adam(1e-3), coefficients={"beta": 1.0})
state = trainer.init(jax.random.key(0))

# `epochs` is the total, so that each call goes on where the one before ended.
captured = {}
for epoch in EPOCHS:
    state = train(trainer, state, data.train.images, epochs=epoch, batch_size=100)
    captured[epoch] = capture(vae, state.variables, data.test.images, key=jax.random.key(1))

last = captured.pop(EPOCHS[-1])
print("layer".ljust(14), *(f"{epoch:>5}" for epoch in captured), "  epochs")
for layer in [name for name in last if name != "input"]:
    similar = [float(debiased_cka(layers[layer], last[layer])) for layers in captured.values()]
    print(layer.ljust(14), *(f"{value:5.2f}" for value in similar))
