"""A classifier trained on labelled images that stay on the device."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Int, UInt8

from jaxvae.files.refusals import as_count
from jaxvae.geometry.arrays import as_array, refuse_no_key
from jaxvae.models.classifier import Classifier
from jaxvae.training.epochs import epoch_order, steps_per_epoch
from jaxvae.training.images import as_images, checked_images, on_device, unit_interval
from jaxvae.typing import ArrayLike, Key


def train_classifier(
    classifier: Classifier,
    images: UInt8[ArrayLike, "n h w c"],
    labels: Int[ArrayLike, " n"],
    *,
    key: Key,
    epochs: int,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
) -> Any:
    """Parameters after some epochs of Adam on the mean cross-entropy.

    Every epoch visits the images in a new order and is one compiled loop; what is left over
    by the last whole batch is left out, other images every time.

    Args:
        classifier: the network; it is compiled once, so make it once for several trainings.
        images: uint8 `[n, h, w, c]`, kept on the device as bytes.
        labels: `[n]`, whole numbers from 0 to M - 1.
        key: key of the first parameters and the orders; same key, same numbers.
        epochs: passes over the images, at least 1.
        batch_size: images a step.
        learning_rate: learning rate of Adam.

    Returns:
        Parameters, as the classifier takes them.

    Raises:
        ValueError: for images or labels that do not fit, no epochs, and a batch larger than
            the data.
        ArithmeticError: after an epoch whose loss is not finite.
    """
    images, labels = checked_examples(classifier, images, labels)
    epochs = as_count(epochs, f"expected at least one epoch, got {epochs}", least=1)
    steps_per_epoch(images, batch_size)
    refuse_no_key(key)
    params_key, order_key = jax.random.split(key)
    settings = classifier, float(learning_rate)
    state = _start(*settings, params_key)
    placed = on_device(checked_images(images, classifier.image_shape))
    data = placed, jnp.asarray(labels, jnp.int32)
    for epoch in range(epochs):
        order = epoch_order(order_key, epoch, len(images))
        state, loss = _epoch(*settings, data, state, order, batch_size=batch_size)
        if not jnp.isfinite(loss):
            raise ArithmeticError(
                f"the loss of the classifier is {loss} in epoch {epoch}; try a smaller "
                f"learning rate than {learning_rate:g}"
            )
    return state[0]


def checked_examples(
    classifier: Classifier, images: ArrayLike, labels: ArrayLike
) -> tuple[UInt8[ArrayLike, "n h w c"], Int[np.ndarray, " n"]]:
    """Images and labels as arrays, if the classifier takes them.

    Raises:
        ValueError: says what was expected and what came.
    """
    images, numbers = as_images(images, classifier.image_shape), np.asarray(as_array(labels))
    if numbers.shape != (len(images),) or not np.issubdtype(numbers.dtype, np.integer):
        raise ValueError(
            f"expected {len(images)} whole numbers as labels, got {numbers.dtype} {numbers.shape}"
        )
    if numbers.min() < 0 or numbers.max() >= classifier.classes:
        raise ValueError(
            f"expected labels from 0 to {classifier.classes - 1}, got {numbers.min()} to "
            f"{numbers.max()}"
        )
    return images, numbers


@partial(jax.jit, static_argnums=(0, 1))
def _start(classifier: Classifier, learning_rate: float, key: Key) -> tuple[Any, Any]:
    """Parameters and moments before the first step."""
    params = classifier.init(key)
    return params, optax.adam(learning_rate).init(params)


@partial(jax.jit, static_argnums=(0, 1), static_argnames="batch_size")
def _epoch(
    classifier: Classifier,
    learning_rate: float,
    data: tuple[UInt8[Array, "n h w c"], Int[Array, " n"]],
    state: tuple[Any, Any],
    order: Int[Array, " n"],
    *,
    batch_size: int,
) -> tuple[tuple[Any, Any], Float[Array, ""]]:
    """One pass, and the mean of its losses."""
    images, labels = data
    optimizer = optax.adam(learning_rate)

    def loss_of(params: Any, rows: Int[Array, " b"]) -> Float[Array, ""]:
        logits = classifier.apply(params, unit_interval(images[rows]))
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows]))

    def step(state: tuple[Any, Any], rows: Int[Array, " b"]) -> tuple[tuple[Any, Any], Array]:
        params, moments = state
        loss, gradients = jax.value_and_grad(loss_of)(params, rows)
        updates, moments = optimizer.update(gradients, moments, params)
        return (optax.apply_updates(params, updates), moments), loss

    batches = order[: len(order) // batch_size * batch_size].reshape(-1, batch_size)
    state, losses = lax.scan(step, state, batches)
    return state, jnp.mean(losses)
