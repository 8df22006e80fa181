import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvae.metrics.cka import cka_matrix, debiased_cka, linear_cka, minibatch_cka, rbf_cka
from tests import oracles, reference
from tests.clouds import NASTY, gaussian, rotation
from tests.memory import largest_array
from tests.tiers import parametrize

OTHER = gaussian(seed=9) + NASTY["plain"]
SPREAD = [name for name in NASTY if name != "constant"]
METRICS = {"linear": linear_cka, "debiased": debiased_cka, "rbf": rbf_cka}


def exact_cka(x, y):
    x, y = oracles.centered(x), oracles.centered(y)
    return cosine(x @ x.T, y @ y.T)


def exact_debiased(x, y):
    return cosine(*(off_diagonal(oracles.centered(space)) for space in (x, y)), product=hsic)


def exact_rbf(x, y, bandwidth=0.5):
    return cosine(*(kernel(oracles.centered(space), bandwidth) for space in (x, y)))


def cosine(a, b, product=lambda a, b: np.sum(a * b)):
    return product(a, b) / np.sqrt(product(a, a) * product(b, b))


def off_diagonal(x):
    gram = x @ x.T
    return gram - np.diag(np.diag(gram))


def hsic(k, l):  # noqa: E741
    """The three terms of Song et al. (2012), of Gram matrices without a diagonal."""
    n = len(k)
    both = k.sum() * l.sum() / ((n - 1) * (n - 2))
    return (np.sum(k * l) + both - 2 / (n - 2) * np.sum(k.sum(0) * l.sum(0))) / (n * (n - 3))


def kernel(x, bandwidth):
    squared = np.array([np.sum((row - x) ** 2, axis=1) for row in x])
    gram = np.exp(-squared / (2 * bandwidth**2 * np.median(squared)))
    center = np.eye(len(x)) - 1 / len(x)
    return center @ gram @ center


EXACT = {"linear": exact_cka, "debiased": exact_debiased, "rbf": exact_rbf}


@pytest.mark.parametrize("name", SPREAD)
@pytest.mark.parametrize("metric", METRICS)
def test_cka_is_that_of_the_definition(metric, name):
    expected = EXACT[metric](NASTY[name], OTHER)
    # One row at 1e6 leaves the debiased form fewer digits for what it compares.
    tolerance = 2e-5 if name == "one row at 1e6" else 2e-6
    np.testing.assert_allclose(METRICS[metric](NASTY[name], OTHER), expected, atol=tolerance)


@pytest.mark.parametrize("metric", METRICS)
@parametrize(("n", "d", "e"), [(4, 2, 3), (40, 200, 3), (30, 50, 90), (50, 3, 7)], quick=3)
def test_cka_holds_for_every_shape(metric, n, d, e):
    x, y = gaussian(n, d), gaussian(n, e, seed=1)
    y[:, 0] += x[:, 0]
    np.testing.assert_allclose(METRICS[metric](x, y), EXACT[metric](x, y), atol=2e-6)


@pytest.mark.parametrize("case", reference.cases("similarity"))
def test_cka_agrees_with_the_reference(case):
    inputs, expected = reference.load(case)
    x, y = inputs["x"], inputs["y"]
    found = {"cka": linear_cka(x, y), "cka_debiased": debiased_cka(x, y)}
    for key in expected:
        if key.startswith("cka_rbf"):
            found[key] = rbf_cka(x, y, bandwidth=float(key.split("_")[-1]))
        elif key.startswith("cka_minibatch"):
            found[key] = accumulate([x, y], int(key.split("_")[2]))[0, 1]
    for key in found.keys() & expected.keys():
        reference.assert_close(case, key, found[key], expected[key])


def accumulate(spaces, batch):
    init, update, result = minibatch_cka(len(spaces))
    state = init()
    for start in range(0, len(spaces[0]) - batch + 1, batch):
        state = update(state, [space[start : start + batch] for space in spaces])
    return result(state)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.floats(-60, 60), st.sampled_from(sorted(METRICS)))
def test_rotation_scale_shift_padding_and_order_change_nothing(seed, exponent, metric):
    x, y = gaussian(60, 8, seed), gaussian(60, 8, seed) + gaussian(60, 8, seed + 1)
    order = np.random.default_rng(seed).permutation(60)
    moved = 2.0**exponent * (x.astype(np.float64) @ rotation(8, seed) + 5)
    padded = np.concatenate([moved, np.zeros((60, 8))], axis=1)
    expected = METRICS[metric](x, y)
    found = METRICS[metric](padded[order], y[order])
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_a_space_is_wholly_like_itself_and_cka_is_symmetric(metric):
    x = NASTY["plain"]
    np.testing.assert_allclose(METRICS[metric](x, x), 1, atol=1e-6)
    np.testing.assert_allclose(METRICS[metric](x, OTHER), METRICS[metric](OTHER, x), atol=1e-6)


@pytest.mark.parametrize("p", [20, 500])
def test_unrelated_spaces_give_the_documented_floor_and_debiased_zero(p):
    n = 100
    pairs = [(gaussian(n, p, s), gaussian(n, p, 100 + s)) for s in range(10)]
    biased = np.mean([linear_cka(x, y) for x, y in pairs])
    np.testing.assert_allclose(biased, p / (p + n - 1), rtol=0.03)
    assert abs(np.mean([debiased_cka(x, y) for x, y in pairs])) < 0.02


def test_a_wide_kernel_tends_to_linear_cka_and_a_narrow_one_to_1():
    x, y = gaussian(80, 4), gaussian(80, 5, seed=2)
    np.testing.assert_allclose(rbf_cka(x, y, bandwidth=200.0), linear_cka(x, y), atol=1e-4)
    np.testing.assert_allclose(rbf_cka(x, y, bandwidth=0.01), 1, atol=1e-6)


@pytest.mark.parametrize(("far", "error"), [(1e5, 1e-3), (1e6, 3e-3)])
@pytest.mark.parametrize("seed", range(4))
def test_debiased_cka_is_as_close_as_documented_where_a_row_of_few_is_far_away(far, error, seed):
    x, y = gaussian(12, 40, seed=seed).astype(np.float64), gaussian(12, 3, seed=100 + seed)
    y[1:] += x[1:, :1]
    x[0] *= far
    found = debiased_cka(x, y)
    assert (np.isnan(found) and far == 1e6) or abs(found - exact_debiased(x, y)) <= error


@pytest.mark.parametrize("bandwidth", [1e-30, 1e-10, 1e8, 1e12, 1e30])
def test_the_widest_and_narrowest_kernels_have_their_limits(bandwidth):
    x, y = gaussian(80, 4), gaussian(80, 5, seed=2)
    limit = linear_cka(x, y) if bandwidth > 1 else 1
    np.testing.assert_allclose(rbf_cka(x, y, bandwidth=bandwidth), limit, atol=1e-6)


@pytest.mark.parametrize("bandwidth", [0.5, 1e3, 1e6, 1e12])
@pytest.mark.parametrize("far", [1e4, 1e10])
def test_wide_kernels_see_a_row_that_is_far_from_the_others(far, bandwidth):
    x, y = gaussian(65, 3), gaussian(65, 3, seed=2)
    moved = [np.where(np.arange(65)[:, None] == 0, far, 1) * space for space in (x, x + y)]
    expected = exact_rbf(*moved, bandwidth) if bandwidth < 1e6 else exact_cka(*moved)
    np.testing.assert_allclose(rbf_cka(*moved, bandwidth=bandwidth), expected, atol=2e-5)


def test_rbf_cka_of_float64_sees_differences_that_float32_would_round_off():
    inside = 1e-3 * gaussian(60, 4).astype(np.float64)
    x = inside + 1e4 * (np.arange(60) < 12)[:, None]
    y = inside + 3e-4 * gaussian(60, 4, seed=1)
    np.testing.assert_allclose(rbf_cka(x, y), exact_rbf(x, y), rtol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_a_constant_space_gives_nan(metric):
    assert np.isnan(METRICS[metric](NASTY["constant"], OTHER))


def test_a_kernel_without_width_gives_nan():
    x = np.zeros((10, 2))
    x[:2] = [[1, 0], [0, 1]]
    assert np.isnan(rbf_cka(x, gaussian(10, 2)))


def test_points_equally_far_apart_give_debiased_nan():
    assert np.isnan(debiased_cka(np.eye(12), gaussian(12, 3)))


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("widths", [(2, 3, 5), (2, 300, 5)])
def test_the_matrix_is_that_of_the_pairs(widths, debiased):
    spaces = [gaussian(60, d, seed=d) for d in widths]
    found = cka_matrix(spaces, debiased=debiased)
    exact = exact_debiased if debiased else exact_cka
    expected = [[exact(x, y) for y in spaces] for x in spaces]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_array_equal(np.diagonal(found), 1)
    np.testing.assert_array_equal(found, found.T)


def test_a_constant_space_is_a_row_and_a_column_of_nan():
    found = cka_matrix([gaussian(), NASTY["constant"], OTHER])
    undefined = np.eye(3, dtype=bool)[1]
    np.testing.assert_array_equal(np.isnan(found), undefined | undefined[:, None])


@pytest.mark.parametrize("metric", METRICS)
def test_cka_is_vmapped_and_jitted_as_looped(metric):
    xs = np.stack([NASTY[name] for name in ("plain", "grid", "clusters 2 apart")])
    looped = [METRICS[metric](x, OTHER) for x in xs]
    vmapped = jax.jit(jax.vmap(METRICS[metric], in_axes=(0, None)))
    np.testing.assert_allclose(vmapped(xs, OTHER), looped, atol=2e-6)


def test_the_counts_of_many_points_are_no_integers_of_32_bits():
    x = gaussian(50_000, 2)
    y = x + gaussian(50_000, 2, seed=1)
    np.testing.assert_allclose(debiased_cka(x, y), linear_cka(x, y), atol=1e-4)
    init, update, result = minibatch_cka(2)
    np.testing.assert_allclose(result(update(init(), [x, y]))[0, 1], debiased_cka(x, y), atol=1e-6)


def test_trailing_axes_are_flattened():
    x = gaussian(30, 12)
    found = linear_cka(x.reshape(30, 2, 3, 2), OTHER[:30])
    np.testing.assert_allclose(found, linear_cka(x, OTHER[:30]), atol=1e-7)


def test_wide_spaces_never_form_a_matrix_of_all_points():
    n, d = 9000, 5000
    shapes = [((n, d), jnp.float32)] * 2
    assert largest_array(linear_cka, *shapes) <= n * d + d  # as the input


@pytest.mark.parametrize("scale", [1.0, 1e20, 1e-22])
def test_minibatch_cka_tends_to_debiased_cka(scale):
    x, y = gaussian(2000, 6) * np.float32(scale), gaussian(2000, 3, seed=1)
    y[:, 0] += x[:, 0] / np.float32(scale)
    found = accumulate([x, y], 50)
    np.testing.assert_allclose(found[0, 1], debiased_cka(x, y), atol=0.02)
    np.testing.assert_array_equal(np.diagonal(found), 1)


def test_minibatch_cka_adds_hsic_whatever_the_scale_of_a_batch():
    x, y = gaussian(24, 3), gaussian(24, 2, seed=1)
    x[8:16] *= 1000
    grams = [[off_diagonal(oracles.centered(s[i : i + 8])) for i in (0, 8, 16)] for s in (x, y)]

    def sums(a, b):
        return sum(map(hsic, a, b))

    np.testing.assert_allclose(accumulate([x, y], 8)[0, 1], cosine(*grams, product=sums), atol=2e-6)


def test_a_batch_without_spread_adds_nothing():
    init, update, result = minibatch_cka(2)
    x, y = gaussian(16, 3), OTHER[:16]
    state = update(init(), [x, y])
    after = update(state, [np.full((16, 3), 0.1, np.float32), y])
    np.testing.assert_array_equal(after.sums[0], state.sums[0])
    assert np.isnan(result(init())).all()


def test_minibatch_cka_is_scanned_under_vmap_as_looped():
    init, update, result = minibatch_cka(2)
    x = np.stack([gaussian(64, 5, seed) for seed in range(3)])
    y = np.tanh(x[:, :, :2])

    def run(x, y):
        batches = x.reshape(4, 16, 5), y.reshape(4, 16, 2)
        return result(jax.lax.scan(lambda *at: (update(*at), None), init(), batches)[0])

    looped = [accumulate(spaces, 16) for spaces in zip(x, y, strict=True)]
    np.testing.assert_allclose(jax.jit(jax.vmap(run))(x, y), looped, atol=2e-6)


def test_bad_input_is_refused():
    x = gaussian(10)
    with pytest.raises(ValueError, match="same number of points"):
        linear_cka(x, gaussian(11))
    with pytest.raises(ValueError, match="same number of points"):
        rbf_cka(x, gaussian(11))
    with pytest.raises(ValueError, match="at least 2 points"):
        linear_cka(x[:1], x[:1])
    with pytest.raises(ValueError, match="at least 2 points"):
        rbf_cka(x[:1], x[:1])
    with pytest.raises(ValueError, match="at least 4 points, got 3"):
        debiased_cka(x[:3], x[:3])
    with pytest.raises(ValueError, match="at least one space"):
        cka_matrix([])
    with pytest.raises(ValueError, match="real numbers"):
        linear_cka(x, x.astype(complex))
    with pytest.raises(ValueError, match="real numbers"):
        linear_cka(x, x.astype(object))
    with pytest.raises(ValueError, match="row 3"):
        linear_cka(x, np.where(np.arange(10)[:, None] == 3, np.inf, x))


@pytest.mark.parametrize("bandwidth", [0, -1.0, np.nan, np.inf])
def test_a_bandwidth_that_is_not_positive_is_refused(bandwidth):
    with pytest.raises(ValueError, match="bandwidth > 0"):
        rbf_cka(gaussian(10), gaussian(10), bandwidth=bandwidth)


def test_minibatch_cka_refuses_small_batches_and_other_numbers_of_spaces():
    init, update, _ = minibatch_cka(2)
    with pytest.raises(ValueError, match="expected 2 spaces, got 1"):
        update(init(), [gaussian(8)])
    with pytest.raises(ValueError, match="at least 4 points"):
        update(init(), [gaussian(3), gaussian(3)])
    with pytest.raises(ValueError, match="layers >= 1"):
        minibatch_cka(0)


def test_more_points_than_a_kernel_can_count_are_refused():
    many = np.zeros((2**16, 1), np.float32)
    with pytest.raises(ValueError, match="expected at most 65,535 points, got 65,536"):
        rbf_cka(many, many)
