from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models.layers import DownConvolution
from jaxvae.platforms import (
    ACCELERATOR,
    CPU,
    TPU,
    _known,
    choices_for,
    compiled_for,
    convolutions_as,
    jit_steps,
    platform_of,
    svd,
)


@pytest.mark.parametrize("array", [np.zeros, jnp.zeros, jax.random.key])
def test_choices_are_those_of_the_devices_that_hold_the_arrays(array):
    assert platform_of({"array": array(2)}) == jax.devices()[0].platform


def test_an_array_of_the_host_is_worked_on_there_whatever_else_the_process_has():
    with jax.default_device(jax.devices("cpu")[0]):
        assert choices_for(np.zeros(2)) == CPU
    assert choices_for(jax.device_put(np.zeros(2), jax.devices("cpu")[0])) == CPU


def test_compilation_ahead_of_time_has_the_choices_of_its_target():
    for platform, choices in (("tpu", TPU), ("cuda", ACCELERATOR)):
        with compiled_for(platform):
            assert choices_for(jnp.zeros(2)) == choices
    assert choices_for(jax.device_put(np.zeros(2), jax.devices("cpu")[0])) == CPU


@pytest.mark.parametrize(("kind", "native"), [("products", False), ("native", True)])
def test_convolutions_and_their_gradients_are_of_the_kind_that_is_asked_for(kind, native):
    def squares(kernel):
        return jnp.sum(layer.apply({"params": {"kernel": kernel}}, jnp.ones((1, 8, 8, 1))) ** 2)

    layer = DownConvolution(2, use_bias=False)
    with convolutions_as(kind):
        program = str(jax.make_jaxpr(jax.grad(squares))(jnp.ones((4, 4, 1, 2))))
    assert ("conv_general_dilated" in program) == native
    assert ("dot_general" in program) != native


@pytest.mark.parametrize("vectors", [True, False])
def test_singular_values_of_cuda_are_not_those_of_rotations(vectors):
    traced = jax.jit(lambda x: svd(x, vectors=vectors)).trace(jnp.zeros((40, 30)))
    program = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "cusolver_gesvd_ffi" in program
    assert "gesvdj" not in program


def test_a_decomposition_has_the_singular_values_of_float64():
    values = np.random.default_rng(0).standard_normal((60, 40))
    expected = np.linalg.svd(values, compute_uv=False)
    u, s, v = svd(jnp.asarray(values, jnp.float32))
    np.testing.assert_allclose(s, expected, rtol=1e-5)
    alone = svd(jnp.asarray(values, jnp.float32), vectors=False)
    np.testing.assert_allclose(alone, expected, rtol=1e-5)
    np.testing.assert_allclose((u * s) @ v, values, atol=1e-5)


def test_sums_of_steps_stay_outside_of_ynnpack():
    assert _known(CPU.step_options) == CPU.step_options
    options = dict(CPU.step_options)
    loss = jax.jit(lambda x: jnp.sum((2 * x) ** 2), compiler_options=options)
    assert "ynn_fusion" not in loss.lower(jnp.ones((8, 28, 28, 1))).compile().as_text()


@pytest.mark.parametrize(("platform", "options"), [("cpu", CPU.step_options), ("tpu", ())])
def test_the_options_of_steps_reach_the_compiler(monkeypatch, platform, options):
    asked = []

    def jit(function, *, compiler_options, **named):
        asked.append(compiler_options)
        return jax.jit(function, **named)

    @jit_steps(static_argnames=["power"])
    def powers(x, *, power):
        return x**power

    x, known = jnp.float32(3), _known(options)
    with monkeypatch.context() as patch, compiled_for(platform):
        patch.setattr("jaxvae.platforms.jax", SimpleNamespace(jit=jit, config=jax.config))
        assert [powers(x, power=power) for power in (2, 3)] == [9, 27]
    # One program serves both.
    assert asked == [dict(options)]
    assert known == options


def test_an_option_that_the_compiler_lacks_is_left_out():
    assert _known((("xla_cpu_option_of_yesterday", True),)) == ()
