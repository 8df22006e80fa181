"""jaxvae itself, and the bare product that bounds it from below."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from benchmarks.peers.worker import Work, serve, versions
from jaxvae import metrics
from jaxvae.bench.metrics import largest_products
from jaxvae.bench.timing import machine

# The best number of rows at a time differs with the width: both are tried.
BLOCKS = (100, 1000)


def bare_product(*spaces: Array, block: int) -> list[Array]:
    return [largest_products(space, block=block) for space in spaces]


def blocking(work: Work) -> Work:
    return lambda *arrays: jax.block_until_ready(work(*arrays))


# Each picks the numbers that a peer gives.
WORKS: dict[str, Work] = {
    "two_nn": lambda x: metrics.two_nn(x).value,
    "gride": lambda x: metrics.gride(x, max_rank=64).values,
    "information_imbalance": metrics.information_imbalance,
    "imbalance_matrix": lambda *spaces: metrics.imbalance_matrix(spaces),
    "cka_matrix": lambda *spaces: metrics.cka_matrix(spaces),
    "procrustes_matrix": lambda *spaces: metrics.procrustes_matrix(spaces),
}
PRODUCTS: dict[str, Work] = {
    f"product in blocks of {block}": lambda *spaces, block=block: bare_product(*spaces, block=block)
    for block in BLOCKS
}


if __name__ == "__main__":
    described = machine() | versions("jaxvae", "jaxlib", "numpy")
    serve(
        {name: blocking(work) for name, work in (WORKS | PRODUCTS).items()}, described, jnp.asarray
    )
