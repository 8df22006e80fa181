"""Ensembles: every member is the model that is trained alone."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvae.models import build_hvae, convolutional_vae, dense_discriminator, dense_vae
from jaxvae.objectives import (
    annealed_vae,
    beta_tc_vae,
    beta_vae,
    dip_vae_i,
    dip_vae_ii,
    factor_vae,
    free_bits,
    hierarchical_vae,
    linear_ramp,
)
from jaxvae.training import (
    Adversary,
    Member,
    checkpoint,
    group_members,
    init_ensemble,
    take_member,
    train,
    train_ensemble,
    vae_trainer,
)
from tests.models.hierarchies import Chain

COUNT, BATCH, EPOCHS = 40, 8, 2
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 1), dtype=np.uint8)
# The coefficient that members differ in, and the rest of what the trainer takes.
OBJECTIVES = {
    "beta_vae": (beta_vae, "beta", {}),
    "warm-up": (beta_vae, "beta", {"schedules": {"beta": partial(linear_ramp, steps=7)}}),
    "annealed_vae": (
        annealed_vae,
        "capacity",
        {"schedules": {"capacity": partial(linear_ramp, steps=7)}},
    ),
    "beta_tc_vae": (partial(beta_tc_vae, dataset_size=COUNT), "beta", {}),
    "dip_vae_i": (dip_vae_i, "off_diagonal", {}),
    "dip_vae_ii": (dip_vae_ii, "off_diagonal", {}),
    "factor_vae": (factor_vae, "gamma", {}),
    "free_bits": (free_bits, "free", {}),
}


def optimizer(method):
    """With decay and clipping, which would see what is not masked."""
    return optax.chain(
        optax.add_decayed_weights(1e-2),
        optax.clip_by_global_norm(1.0),
        optax.inject_hyperparams(method)(learning_rate=1e-2),
    )


@cache
def trainer_of(name, latents, network=dense_vae, method=optax.adam):
    objective, coefficient, rest = OBJECTIVES[name]
    adversary = None
    if objective is factor_vae:
        adversary = Adversary(
            dense_discriminator(latents=latents, depth=2, width=8), optax.adam(1e-2)
        )
    return vae_trainer(
        network(image_shape=(4, 4, 1), latents=latents, widths=(6,)),
        objective,
        optimizer(method),
        coefficients={coefficient: 1.0},
        adversary=adversary,
        **rest,
    )


def members_of(name):
    coefficient = OBJECTIVES[name][1]
    return [
        Member(jax.random.key(7), 5, {coefficient: 0.5}),
        Member(jax.random.key(8), 3, {coefficient: 2.0}, learning_rate=3e-2),
        Member(jax.random.key(7), 4),
    ]


def trained(trainer, ensemble, epochs=EPOCHS, **rest):
    return train_ensemble(trainer, ensemble, IMAGES, epochs=epochs, batch_size=BATCH, **rest)


def assert_alike(actual, expected):
    # Adam divides a gradient by its own size: a rounding of a small one moves a parameter
    # by a part of the learning rate of 1e-2 or 3e-2.
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        if not jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize(
    ("name", "way", "network", "method"),
    [
        *((name, "vmap", dense_vae, optax.adam) for name in OBJECTIVES),
        *(("beta_vae", way, dense_vae, optax.adam) for way in ("map", "unrolled")),
        # A bias before batch normalization has a gradient of rounding alone, which Adam
        # would divide by its own size.
        ("beta_vae", "vmap", convolutional_vae, optax.sgd),
    ],
)
def test_a_member_is_the_model_trained_alone(name, way, network, method):
    of = partial(trainer_of, name, network=network, method=method)
    members = members_of(name)[:2]
    ensemble = trained(of(5), init_ensemble(of, members), way=way)
    for index, member in enumerate(members):
        trainer = of(member.latents)
        alone = take_member(init_ensemble(of, [member]), 0, trainer)
        alone = train(trainer, alone, IMAGES, epochs=EPOCHS, batch_size=BATCH)
        state = take_member(ensemble, index, trainer)
        assert jax.tree.structure(state) == jax.tree.structure(alone)
        assert_alike(state, alone)


def test_members_of_a_hierarchy_differ_in_the_prices_of_their_layers():
    shape, sizes = (4, 4, 1), (2, 3)
    hvae = build_hvae(Chain(sizes, shape), image_shape=shape, shapes=[(size,) for size in sizes])
    prices = {"beta": (1.0, 1.0)}
    trainer = vae_trainer(hvae, hierarchical_vae, optax.adam(1e-2), coefficients=prices)
    members = [
        Member(jax.random.key(seed), hvae.latents, {"beta": beta})
        for seed, beta in enumerate([(0.5, 4.0), (4.0, 0.5)])
    ]
    seen = []
    ensemble = init_ensemble(lambda latents: trainer, members)
    ensemble = trained(trainer, ensemble, way="vmap", report=seen.append)
    assert list(seen[0].terms) == ["reconstruction", "rates 0", "rates 1"]
    for index, member in enumerate(members):
        alone = trainer.init(member.key)
        beta = {"beta": jnp.array(member.coefficients["beta"])}
        alone = train(
            trainer, alone._replace(coefficients=beta), IMAGES, epochs=EPOCHS, batch_size=BATCH
        )
        assert_alike(take_member(ensemble, index, trainer), alone)


def test_a_member_starts_bitwise_as_the_model_alone():
    of = partial(trainer_of, "factor_vae")
    ensemble = init_ensemble(of, members_of("factor_vae"))
    state = take_member(ensemble, 2, of(4))
    alone = jax.jit(of(4).init)(jax.random.key(7))
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(alone), strict=True):
        assert jnp.array_equal(one, other)


def test_what_a_member_lacks_is_zero_and_stays_zero():
    of = partial(trainer_of, "factor_vae")
    ensemble = trained(of(5), init_ensemble(of, members_of("factor_vae")))
    member = jax.tree.map(lambda leaf: leaf[1], ensemble.states)
    params = member.variables.params
    assert jnp.all(params["mean"]["kernel"][:, 3:] == 0)
    assert jnp.all(params["decoder"]["Dense_0"]["kernel"][3:] == 0)
    assert jnp.all(member.adversary.params["Dense_0"]["kernel"][3:] == 0)


def test_members_of_one_size_need_no_mask():
    of = partial(trainer_of, "beta_vae")
    ensemble = init_ensemble(of, [Member(jax.random.key(seed), 3) for seed in range(2)])
    assert ensemble.states.present is None


def test_groups_are_padded_to_at_most_twice_their_latents():
    members = [Member(jax.random.key(0), size) for size in (2, 64, 3, 4, 8, 16, 32, 5, 2)]
    groups = [[member.latents for member in group] for group in group_members(members)]
    assert groups == [[2, 2], [3, 4, 5], [8, 16], [64, 32]]


def test_training_in_pieces_is_bitwise_training_at_once(tmp_path):
    of = partial(trainer_of, "factor_vae")
    start = init_ensemble(of, members_of("factor_vae"))
    checkpoint.save(tmp_path, 1, trained(of(5), start, epochs=1))
    resumed = trained(of(5), checkpoint.load(tmp_path, 1, start))
    for one, other in zip(
        jax.tree.leaves(resumed), jax.tree.leaves(trained(of(5), start)), strict=True
    ):
        assert jnp.array_equal(one, other)


def test_a_member_that_fails_is_marked_and_does_not_stop_the_others():
    of, seen = partial(trainer_of, "beta_vae"), []
    members = [
        Member(jax.random.key(0), 3),
        Member(jax.random.key(0), 3, learning_rate=1e30),
        Member(jax.random.key(0), 3),
    ]
    ensemble = trained(of(3), init_ensemble(of, members), report=seen.append)
    failed = int(ensemble.failed[1])
    assert ensemble.failed.tolist() == [-1, failed, -1]
    assert 1 <= failed < EPOCHS * COUNT // BATCH
    assert int(ensemble.states.step[1]) == failed + 1
    assert seen[-1].failed == 1
    assert np.isfinite(seen[-1].loss)
    first, last = (take_member(ensemble, index, of(3)) for index in (0, 2))
    assert_alike(first, last)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(first.variables))


def test_it_reports_steps_and_the_mean_over_members():
    of, seen = partial(trainer_of, "beta_vae"), []
    trained(of(5), init_ensemble(of, members_of("beta_vae")), report=seen.append)
    steps = [progress.step for progress in seen]
    assert steps == sorted(set(steps))
    assert steps[-1] == EPOCHS * COUNT // BATCH
    assert list(seen[0].terms) == ["reconstruction", "kl"]
    single = []
    for member in members_of("beta_vae"):
        trainer = of(member.latents)
        alone = take_member(init_ensemble(of, [member]), 0, trainer)
        train(trainer, alone, IMAGES, epochs=1, batch_size=BATCH, report=single.append)
    first = [progress.loss for progress in single if progress.step == 1]
    assert seen[0].loss == pytest.approx(np.mean(first), rel=1e-4)


def test_another_way_is_refused():
    of = partial(trainer_of, "beta_vae")
    with pytest.raises(ValueError, match="expected a way among vmap, map, unrolled, got loop"):
        trained(of(5), init_ensemble(of, members_of("beta_vae")), way="loop")


def test_an_ensemble_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one member"):
        init_ensemble(partial(trainer_of, "beta_vae"), [])


def test_a_coefficient_that_the_trainer_has_not_is_refused():
    member = Member(jax.random.key(0), 3, {"gamma": 1.0})
    with pytest.raises(ValueError, match=r"among \['beta'\], got \['gamma'\]"):
        init_ensemble(partial(trainer_of, "beta_vae"), [member])


def test_a_learning_rate_that_the_optimizer_does_not_hold_is_refused():
    vae = dense_vae(image_shape=(4, 4, 1), latents=3, widths=(6,))
    trainer = vae_trainer(vae, beta_vae, optax.adam(1e-3))
    member = Member(jax.random.key(0), 3, learning_rate=1e-2)
    with pytest.raises(ValueError, match="inject_hyperparams"):
        init_ensemble(lambda latents: trainer, [member])
