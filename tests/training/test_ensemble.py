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
from jaxvae.runs import checkpoint
from jaxvae.training import (
    Adversary,
    Ensemble,
    Member,
    group_members,
    init_ensemble,
    take_member,
    train,
    train_ensemble,
    vae_trainer,
)
from jaxvae.training.members import ensemble_shapes
from tests.models.hierarchies import Chain
from tests.tiers import parametrize

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

# Its estimate compares the members of a batch over their latents: masks matter most.
QUICK = "beta_tc_vae"

SMALL, LARGE = 3, 5


def optimizer(method):
    """With decay and clipping, which would see what is not masked."""
    return optax.chain(
        optax.add_decayed_weights(1e-2),
        optax.clip_by_global_norm(1.0),
        optax.inject_hyperparams(method)(learning_rate=1e-2),
    )


ADAM, SGD = optimizer(optax.adam), optimizer(optax.sgd)
# A step of it is the gradient.
DESCENT = optax.sgd(1.0)


def trainer_of(latents, *, name="beta_vae", network=dense_vae, method=ADAM):
    """The same object for the same arguments: every other one would be compiled anew."""
    return _trainer(latents, name, network, method)


@cache
def _trainer(latents, name, network, method):
    objective, coefficient, rest = OBJECTIVES[name]
    adversary = None
    if objective is factor_vae:
        adversary = Adversary(dense_discriminator(latents=latents, depth=2, width=8), method)
    return vae_trainer(
        network(image_shape=(4, 4, 1), latents=latents, widths=(6,)),
        objective,
        method,
        coefficients={coefficient: 1.0},
        adversary=adversary,
        **rest,
    )


def members_of(name="beta_vae"):
    coefficient = OBJECTIVES[name][1]
    return [
        Member(jax.random.key(7), LARGE, {coefficient: 0.5}),
        Member(jax.random.key(8), SMALL, {coefficient: 2.0}, learning_rate=3e-2),
    ]


def trained(trainer, ensemble, epochs=EPOCHS, **rest):
    return train_ensemble(trainer, ensemble, IMAGES, epochs=epochs, batch_size=BATCH, **rest)


@cache
def trained_alone(index, network, method):
    """A member without the others, and what it reported."""
    seen, member = [], members_of()[index]
    trainer = trainer_of(member.latents, network=network, method=method)
    state = take_member(init_ensemble(lambda latents: trainer, [member]), 0, trainer)
    return train(trainer, state, IMAGES, epochs=EPOCHS, batch_size=BATCH, report=seen.append), seen


def assert_alike(actual, expected, *, rtol=1e-3, atol=2e-4):
    # Adam divides a gradient by its own size: a rounding of a small one moves a parameter
    # by a part of the learning rate of 1e-2 or 3e-2.
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        if not jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


@cache
def small_member_of_two(name):
    """As a member of an ensemble, where it is padded, and alone."""
    of = partial(trainer_of, name=name, method=DESCENT)
    members = [Member(jax.random.key(7), LARGE), Member(jax.random.key(8), SMALL)]
    ensemble = init_ensemble(of, members)
    padded = jax.tree.map(lambda leaf: leaf[1], ensemble.states)
    return padded, take_member(ensemble, 1, of(SMALL))


@parametrize("name", sorted(OBJECTIVES, key=QUICK.__ne__))
def test_a_padded_member_has_the_loss_and_the_gradient_of_the_model_alone(name):
    # What the objective has no part in is drawn once.
    adversarial = OBJECTIVES[name][0] is factor_vae
    states = small_member_of_two("factor_vae" if adversarial else "beta_vae")
    coefficient = {OBJECTIVES[name][1]: jnp.float32(2.0)}
    # Within the ramp of a schedule.
    states = [state._replace(coefficients=coefficient, step=jnp.int32(3)) for state in states]
    of = partial(trainer_of, name=name, method=DESCENT)

    @jax.jit
    def steps(padded, alone):
        return of(LARGE).step(padded, IMAGES[:BATCH]), of(SMALL).step(alone, IMAGES[:BATCH])

    padded, alone = steps(*states)
    assert_alike(padded[1:], alone[1:], rtol=1e-5, atol=1e-5)
    one = jax.tree.map(lambda leaf: leaf[None], padded[0])
    state = take_member(Ensemble(one, jnp.full(1, -1)), 0, of(SMALL))
    assert jax.tree.structure(state) == jax.tree.structure(alone[0])
    assert_alike(state, alone[0], rtol=1e-4, atol=1e-5)
    moved = jax.tree.map(lambda old, new: jnp.abs(new - old).max(), states[1][0], alone[0][0])
    assert max(jax.tree.leaves(moved)) > 0.01


# The other way, "map", is that of sweeps here: tests/sweeps/test_work.py holds it to single runs.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "method"),
    [
        (dense_vae, ADAM),
        # A bias before batch normalization has a gradient of rounding alone, which Adam
        # would divide by its own size.
        (convolutional_vae, SGD),
    ],
)
def test_a_member_is_the_model_trained_alone(network, method):
    of = partial(trainer_of, network=network, method=method)
    ensemble = trained(of(LARGE), init_ensemble(of, members_of()), way="vmap")
    for index, member in enumerate(members_of()):
        state = take_member(ensemble, index, of(member.latents))
        alone, _ = trained_alone(index, network, method)
        assert jax.tree.structure(state) == jax.tree.structure(alone)
        assert_alike(state, alone)


@pytest.mark.slow
def test_members_of_a_hierarchy_differ_in_the_betas_of_their_layers():
    shape, sizes = (4, 4, 1), (2, 3)
    hvae = build_hvae(Chain(sizes, shape), image_shape=shape, shapes=[(size,) for size in sizes])
    betas = {"beta": (1.0, 1.0)}
    trainer = vae_trainer(hvae, hierarchical_vae, optax.adam(1e-2), coefficients=betas)
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


@parametrize("name", ["beta_vae", "factor_vae"])
def test_a_member_starts_bitwise_as_the_model_alone(name):
    _, state = small_member_of_two(name)
    alone = trainer_of(SMALL, name=name, method=DESCENT).init(jax.random.key(8))
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(alone), strict=True):
        assert jnp.array_equal(one, other)


@pytest.fixture(scope="module")
def adversarial():
    """A trainer with an adversary, its ensemble at the start, and trained at once."""
    of = partial(trainer_of, name="factor_vae")
    start = init_ensemble(of, members_of("factor_vae"))
    return of(LARGE), start, trained(of(LARGE), start)


@pytest.mark.slow
def test_what_a_member_lacks_is_zero_and_stays_zero(adversarial):
    _, _, ensemble = adversarial
    member = jax.tree.map(lambda leaf: leaf[1], ensemble.states)
    params = member.variables.params
    assert jnp.all(params["mean"]["kernel"][:, SMALL:] == 0)
    assert jnp.all(params["decoder"]["Dense_0"]["kernel"][SMALL:] == 0)
    assert jnp.all(member.adversary.params["Dense_0"]["kernel"][SMALL:] == 0)


def test_members_of_one_size_need_no_mask():
    ensemble = init_ensemble(trainer_of, [Member(jax.random.key(seed), 3) for seed in range(2)])
    assert ensemble.states.present is None


@pytest.mark.parametrize("sizes", [(SMALL, LARGE), (3, 3)], ids=str)
def test_shapes_and_types_are_known_without_any_member_being_made(sizes):
    members = [
        Member(jax.random.key(size), size, {"beta": 2.0}, learning_rate=1e-3) for size in sizes
    ]
    told = ensemble_shapes(trainer_of, members)
    made = init_ensemble(trainer_of, members)
    assert jax.tree.structure(told) == jax.tree.structure(made)
    for one, other in zip(jax.tree.leaves(told), jax.tree.leaves(made), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)


def test_trainers_are_made_once_for_every_size():
    sizes = []

    def of(latents):
        sizes.append(latents)
        return trainer_of(latents)

    members = [Member(jax.random.key(seed), size) for seed, size in enumerate((3, 5, 3, 5, 3))]
    init_ensemble(of, members)
    assert sorted(sizes) == [3, 5]


def test_groups_are_padded_to_at_most_twice_their_latents():
    members = [Member(jax.random.key(0), size) for size in (2, 64, 3, 4, 8, 16, 32, 5, 2)]
    groups = [[member.latents for member in group] for group in group_members(members)]
    assert groups == [[2, 2], [3, 4, 5], [8, 16], [64, 32]]


def test_groups_of_models_whose_bottleneck_is_the_least_of_them_hold_more_sizes():
    members = [Member(jax.random.key(0), size) for size in (1, 2, 8, 64, 32)]
    grouped = group_members(members, size_of=lambda latents: 30 + latents)
    assert [[member.latents for member in group] for group in grouped] == [[1, 2, 8], [64, 32]]


@pytest.mark.slow
def test_a_member_with_the_arrays_of_the_largest_is_its_own_state_and_zeros(adversarial):
    _, _, ensemble = adversarial
    own, padded = (
        take_member(ensemble, 1, trainer_of(size, name="factor_vae")) for size in (SMALL, LARGE)
    )
    assert padded.present is None
    for leaf, more in zip(jax.tree.leaves(own), jax.tree.leaves(padded), strict=True):
        missing = [(0, large - small) for small, large in zip(leaf.shape, more.shape, strict=True)]
        assert jnp.array_equal(jnp.pad(leaf, missing) if np.any(missing) else leaf, more)


@pytest.mark.slow
def test_training_keeps_all_types_so_that_it_is_compiled_once(adversarial):
    _, start, ensemble = adversarial
    # With weak types, which are as good as others to compute with, but not to the compiler.
    types = [[leaf.aval for leaf in jax.tree.leaves(each)] for each in (start, ensemble)]
    assert types[0] == types[1]


@pytest.mark.slow
def test_training_in_pieces_is_bitwise_training_at_once(adversarial, tmp_path):
    trainer, start, at_once = adversarial
    checkpoint.save(tmp_path, 1, trained(trainer, start, epochs=1))
    resumed = trained(trainer, checkpoint.load(tmp_path, 1, start))
    for one, other in zip(jax.tree.leaves(resumed), jax.tree.leaves(at_once), strict=True):
        assert jnp.array_equal(one, other)


def test_a_member_that_fails_is_marked_and_does_not_stop_the_others():
    of, seen = trainer_of, []
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


@pytest.mark.parametrize("way", ["map", "vmap"])
def test_training_ends_where_every_member_has_failed(way):
    members = [Member(jax.random.key(seed), 3, learning_rate=1e30) for seed in range(2)]
    start, seen = init_ensemble(trainer_of, members), []
    go_on = partial(trained, trainer_of(3), epochs=3000, way=way)
    ensemble = go_on(start, report=seen.append)
    failed = ensemble.failed.tolist()
    assert min(failed) >= 1
    assert ensemble.states.step.tolist() == [step + 1 for step in failed]
    # The last report is of the last step that any of them took.
    assert [progress.failed for progress in seen].index(2) == len(seen) - 1
    assert seen[-1].step == max(failed) + 1
    assert np.isnan(seen[-1].loss)
    again = go_on(ensemble, report=seen.append, save=seen.append)
    assert jax.tree.all(jax.tree.map(_same_bits, again, ensemble))
    assert seen[-1].step == max(failed) + 1
    assert [progress.failed for progress in seen].index(2) == len(seen) - 1


def _same_bits(one, other):
    if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
        one, other = jax.random.key_data(one), jax.random.key_data(other)
    return np.array_equal(one, other, equal_nan=True)


def test_it_reports_steps_and_the_mean_over_members():
    seen = []
    trained(trainer_of(LARGE), init_ensemble(trainer_of, members_of()), report=seen.append)
    steps = [progress.step for progress in seen]
    assert steps == sorted(set(steps))
    assert steps[-1] == EPOCHS * COUNT // BATCH
    assert list(seen[0].terms) == ["reconstruction", "kl"]
    single = [
        progress
        for index in range(len(members_of()))
        for progress in trained_alone(index, dense_vae, ADAM)[1]
    ]
    first = [progress.loss for progress in single if progress.step == 1]
    assert seen[0].loss == pytest.approx(np.mean(first), rel=1e-4)


@pytest.mark.parametrize("index", [-1, 1, 0.0])
def test_a_member_that_is_not_there_is_refused(index):
    ensemble = init_ensemble(trainer_of, members_of()[:1])
    with pytest.raises(ValueError, match=f"expected a member from 0 to 0, got {index}"):
        take_member(ensemble, index, trainer_of(LARGE))


def test_a_trainer_of_more_latents_than_there_is_room_for_is_refused():
    ensemble = init_ensemble(trainer_of, [Member(jax.random.key(0), SMALL)])
    with pytest.raises(ValueError, match="expected a trainer of a member, got one of a larger"):
        take_member(ensemble, 0, trainer_of(LARGE))


@pytest.mark.parametrize("room", [0, LARGE - 1])
def test_too_little_room_is_refused(room):
    with pytest.raises(ValueError, match=f"room for the {LARGE} latents .*, got {room}"):
        init_ensemble(trainer_of, [Member(jax.random.key(0), LARGE)], room=room)


def test_several_numbers_for_a_coefficient_of_one_are_refused():
    member = Member(jax.random.key(0), LARGE, {"beta": [1.0, 2.0]})
    with pytest.raises(ValueError, match="expected one number for beta, for the one layer, got"):
        init_ensemble(trainer_of, [member])


def test_what_is_no_mesh_is_refused():
    with pytest.raises(ValueError, match=r"expected a mesh, such as jax.make_mesh.* got 2"):
        trained(trainer_of(LARGE), init_ensemble(trainer_of, members_of()), mesh=2)


def test_another_way_is_refused():
    with pytest.raises(ValueError, match="expected a way among vmap, map, got loop"):
        trained(trainer_of(LARGE), init_ensemble(trainer_of, members_of()), way="loop")


def test_an_ensemble_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one member"):
        init_ensemble(trainer_of, [])


@pytest.mark.parametrize("generator", ["rbg", "unsafe_rbg"])
def test_keys_with_which_a_member_would_depend_on_the_others_are_refused(generator):
    members = members_of()
    ensemble = init_ensemble(trainer_of, members)
    keys = jax.random.split(jax.random.key(0, impl=generator), len(members))
    refused = pytest.raises(
        ValueError, match=rf"expected keys of threefry .* got keys of {generator}"
    )
    with refused:
        init_ensemble(trainer_of, [members[0], members[1]._replace(key=keys[1])])
    with refused:
        trained(trainer_of(LARGE), ensemble._replace(states=ensemble.states._replace(key=keys)))
    with jax.default_prng_impl(generator), refused:
        init_ensemble(trainer_of, [members[0]._replace(key=jax.random.PRNGKey(0))])


def test_what_is_no_key_of_a_member_is_refused():
    with pytest.raises(ValueError, match=r"expected one key, such as .* got 7"):
        init_ensemble(trainer_of, [Member(7, SMALL)])


def test_keys_of_the_old_type_are_those_of_members_too():
    old, new = (Member(key, SMALL) for key in (jax.random.PRNGKey(3), jax.random.key(3)))
    ensembles = [
        trained(trainer_of(SMALL), init_ensemble(trainer_of, [member])) for member in (old, new)
    ]
    one, other = (ensemble.states.variables for ensemble in ensembles)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_coefficient_that_the_trainer_has_not_is_refused():
    member = Member(jax.random.key(0), 3, {"gamma": 1.0})
    with pytest.raises(ValueError, match=r"among \['beta'\], got \['gamma'\]"):
        init_ensemble(trainer_of, [member])


@pytest.mark.parametrize("rate", [-1e-3, float("nan"), float("inf")])
def test_a_learning_rate_that_is_none_is_refused(rate):
    member = Member(jax.random.key(0), LARGE, learning_rate=rate)
    with pytest.raises(ValueError, match=f"learning rate of at least 0, got {rate}"):
        init_ensemble(trainer_of, [member])


SCHEDULE = optax.cosine_decay_schedule(1e-3, 100)


@pytest.mark.parametrize(
    "method",
    [
        optax.adam(1e-3),
        optax.inject_hyperparams(optax.adam)(learning_rate=SCHEDULE),
        optax.chain(optax.inject_hyperparams(optax.adam)(learning_rate=SCHEDULE), DESCENT),
    ],
    ids=["none", "schedule", "schedule in a chain"],
)
def test_a_learning_rate_that_the_optimizer_does_not_hold_is_refused(method):
    vae = dense_vae(image_shape=(4, 4, 1), latents=3, widths=(6,))
    trainer = vae_trainer(vae, beta_vae, method)
    member = Member(jax.random.key(0), 3, learning_rate=1e-2)
    with pytest.raises(ValueError, match="inject_hyperparams"):
        init_ensemble(lambda latents: trainer, [member])
