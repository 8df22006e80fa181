"""Where does a hierarchy keep its information? Three splits of the rate between two layers.

    python examples/tutorials/rates.py

A two-layer VAE is trained with three pairs of weights beta of its two rates. For every pair, the
script prints the rate of the upper layer z_2 and of the lower layer z_1, and the distortion D.
"""

import jax
import jax.numpy as jnp
import optax

from jaxvae.analysis import evaluate
from jaxvae.data import load
from jaxvae.models import two_layer_hvae
from jaxvae.objectives import hierarchical_vae
from jaxvae.training import train, vae_trainer

SPLITS = ((0.3, 3.0), (1.0, 1.0), (3.0, 0.3))
EPOCHS = 5

data = load("sprites", image_size=28, train_size=2000, test_size=500)
hvae = two_layer_hvae(image_shape=(28, 28, 1), channels=8, top=8)
trainer = vae_trainer(hvae, hierarchical_vae, optax.adam(1e-3), coefficients={"beta": (1.0, 1.0)})
start = trainer.init(jax.random.key(0))

# The betas are part of the state, so that all three trainings are one compiled program.
for beta in SPLITS:
    state = start._replace(coefficients={"beta": jnp.array(beta)})
    state = train(trainer, state, data.train.images, epochs=EPOCHS, batch_size=100)
    costs = evaluate(hvae, state.variables, data.test.images, key=jax.random.key(1))
    upper, lower = costs.rates.value
    print(
        f"beta of z_2 {beta[0]}, of z_1 {beta[1]}: R_2 {float(upper):.1f}, R_1 {float(lower):.1f}, "
        f"D {float(costs.distortion.value):.1f}"
    )
