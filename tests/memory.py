"""The arrays that a computation forms, read from its jaxpr."""

import math

import jax


def largest_array(function, *shapes):
    """Elements of the largest array that `function` forms for float32 inputs of these shapes."""
    inputs = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]
    return max(_sizes(jax.make_jaxpr(function)(*inputs).jaxpr))


def _sizes(jaxpr):
    for equation in jaxpr.eqns:
        yield from (math.prod(output.aval.shape) for output in equation.outvars)
        for parameter in jax.tree.leaves(equation.params, is_leaf=_is_jaxpr):
            if _is_jaxpr(parameter):
                yield from _sizes(getattr(parameter, "jaxpr", parameter))


def _is_jaxpr(parameter):
    return hasattr(parameter, "eqns")
