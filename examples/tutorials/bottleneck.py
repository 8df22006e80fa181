"""How large must the bottleneck be? VAEs of four sizes on rendered sprites, in one program.

    python examples/tutorials/bottleneck.py

For every size it prints the distortion D and the rate R of held-out images, the intrinsic
dimension (ID) of the posterior means, which may be compared with that of the images, and
Delta(output -> input), the information imbalance: near 0 if reconstructions keep the neighborhoods
of the images, near 1 if they keep none.
"""

from functools import cache

import jax
import optax

from jaxvae.analysis import capture, evaluate
from jaxvae.data import load
from jaxvae.metrics import information_imbalance, two_nn
from jaxvae.models import VAE, dense_vae
from jaxvae.objectives import beta_vae
from jaxvae.training import Member, init_ensemble, take_member, train_ensemble, vae_trainer

SIZES = (1, 2, 4, 8)
EPOCHS = 10

data = load("sprites", image_size=16, train_size=5000, test_size=500)


def network(latents: int) -> VAE:
    """The same network for every size, except for its bottleneck."""
    return dense_vae(image_shape=(16, 16, 1), latents=latents, widths=(256, 128))


# The learning rate is part of the optimizer's state, so that every member has its own.
@cache
def trainer_of(latents: int):
    """One trainer for each size; members of one size share it."""
    adam = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)
    return vae_trainer(network(latents), beta_vae, adam, coefficients={"beta": 1.0})


# All sizes are trained side by side. Each ends with the numbers that it would have alone.
members = [Member(jax.random.key(0), latents=size) for size in SIZES]
ensemble = init_ensemble(trainer_of, members)
ensemble = train_ensemble(
    trainer_of(max(SIZES)), ensemble, data.train.images, epochs=EPOCHS, batch_size=100
)

images = data.test.images
print(f"images: ID {float(two_nn(images).value):.1f}")
for index, size in enumerate(SIZES):
    variables = take_member(ensemble, index, trainer_of(size)).variables
    costs = evaluate(network(size), variables, images, key=jax.random.key(1))
    layers = capture(network(size), variables, images, key=jax.random.key(1))
    dimension = two_nn(layers["mean"])
    imbalance = information_imbalance(layers["output"], layers["input"]).forward
    print(
        f"K = {size}: D {float(costs.distortion.value):.1f}, R {float(costs.rates.value[0]):.1f}, "
        f"ID of the mean {float(dimension.value):.1f} +- {float(dimension.stderr):.1f}, "
        f"Delta(output -> input) {float(imbalance):.3f}"
    )
