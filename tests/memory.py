"""The arrays that a computation forms, read from its jaxpr."""

import math

import jax


def largest_array(function, *shapes):
    """Elements of the largest array that `function` forms on CPU for inputs of these shapes."""
    inputs = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]
    return max(_sizes(jax.make_jaxpr(function)(*inputs).jaxpr))


def _sizes(jaxpr):
    for equation in jaxpr.eqns:
        yield from (math.prod(output.aval.shape) for output in equation.outvars)
        parameters = equation.params
        if platforms := parameters.get("branches_platforms"):
            own = next(i for i, names in enumerate(platforms) if names is None or "cpu" in names)
            parameters = parameters | {"branches": parameters["branches"][own]}
        for parameter in jax.tree.leaves(parameters, is_leaf=_is_jaxpr):
            if _is_jaxpr(parameter):
                yield from _sizes(getattr(parameter, "jaxpr", parameter))


def _is_jaxpr(parameter):
    return hasattr(parameter, "eqns")
