"""Accuracies of classifiers of every layer, and bounds of them by the information in samples."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxvae.analysis.bounds import bound_estimate
from jaxvae.analysis.estimate import Estimate, share_estimate
from jaxvae.geometry.arrays import as_array, as_classes, as_float64, as_row_array
from jaxvae.models.stochastic_layers import layer_names
from jaxvae.typing import ArrayLike

# Solvers may take ten times the iterations that they take where nothing is wrong.
_ITERATIONS = 5000
# Deviations of a feature in training beyond which one of a test example makes no difference: their
# squares are finite.
_FARTHEST = 2.0**400


class Accuracy(NamedTuple):
    """The accuracy of a classifier on held-out examples.

    Attributes:
        value: the share of the test examples.
        stderr: its standard error over test examples, never zero; see `share_estimate`.
        converged: whether the classifier was trained to the end; if not, the value is that
            of the unfinished one.
        right: `[m]`, of every test example whether the classifier is right.
    """

    value: float
    stderr: float
    converged: bool
    right: Bool[np.ndarray, " m"]


class LayerAccuracy(NamedTuple):
    """The accuracies of classifiers of one layer of a hierarchy, and their bound.

    Attributes:
        samples: accuracy by classifier, from samples of the posterior. Bounded.
        means: the same from posterior means. Not bounded: a mean says what a sample hides.
        bound: the largest accuracy from samples, with the standard error that the rates
            leave in it.
    """

    samples: dict[str, Accuracy]
    means: dict[str, Accuracy]
    bound: Estimate


def classify(
    train_features: ArrayLike,
    train_labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
) -> dict[str, Accuracy]:
    """Accuracies of four classifiers with the usual settings; nothing is random.

    Logistic regression and a linear support-vector machine (both with weight 1 on the
    loss), one with a radial kernel (weight 1, scaled by the variance of the features), and
    the 5 nearest neighbors (all, of fewer examples). Features are flattened and standardized
    with the means and deviations of the training examples. The radial kernel takes time
    quadratic in those: give it at most some 10,000.

    Args:
        train_features: `[n, ...]`.
        train_labels: `[n]`, of any hashable type.
        test_features: `[m, ...]`, of the same shape.
        test_labels: `[m]`; a label that is not among those of training is never predicted.

    Returns:
        By name: `logistic regression`, `linear svm`, `radial svm`, `nearest neighbors`.
        Where all training labels are the same, or all training features constant, every
        classifier predicts the most frequent training label (the first of several).

    Raises:
        ModuleNotFoundError: without scikit-learn.
        ValueError: for shapes that do not match, no examples, features that are not finite, and
            labels that are missing (None, NaN) or have no hash.

    Reference: Cortes and Vapnik (1995); Cover and Hart (1967).
    """
    train, test = _flat(train_features, "train"), _flat(test_features, "test")
    known, asked = _classes(train_labels, test_labels)
    if train.shape[1] != test.shape[1] or known.shape != train.shape[:1]:
        raise ValueError(
            "expected features [n, d] and [m, d] with labels [n] and [m], got features of shapes "
            f"{train.shape} and {test.shape} with labels of shapes {known.shape} and {asked.shape}"
        )
    if asked.shape != test.shape[:1]:
        raise ValueError(f"expected test labels [{len(test)}], got shape {asked.shape}")
    train, test = _in_units(train, test)
    neighbors = min(5, len(train))
    constant = len(np.unique(known)) == 1 or bool(np.all(train == train[:1]))
    accuracies = {}
    for name, classifier in _classifiers(neighbors).items():
        if constant:
            values, counts = np.unique(known, return_counts=True)
            converged, predicted = True, np.full(asked.shape, values[np.argmax(counts)])
        else:
            converged = _fit(classifier, train, known)
            predicted = classifier.predict(test)
        right = predicted == asked
        share = share_estimate(int(right.sum()), len(asked))
        accuracies[name] = Accuracy(float(share.value), float(share.stderr), converged, right)
    return accuracies


def choose_classifier(right: Bool[np.ndarray, "*shape c m"]) -> Bool[np.ndarray, "*shape m"]:
    """Which examples the best of several classifiers gets right, chosen on other examples.

    The largest of several accuracies on the same examples is too large: chance favors the one
    that wins. So each half of the examples, every other one, chooses the classifier that is
    right most often there (the first of several), and the other half judges it. The mean of the
    result is an unbiased accuracy of classifiers that are chosen so.

    Args:
        right: whether every classifier is right on every example, as `Accuracy.right`; at least 2
            examples.

    Raises:
        ValueError: for fewer than two examples, and no classifiers.
    """
    right = np.asarray(as_array(right))
    if right.ndim < 2 or right.shape[-2] < 1 or right.shape[-1] < 2:
        raise ValueError(
            "expected right [..., classifiers, examples] of at least 1 classifier and 2 examples, "
            f"got shape {right.shape}"
        )
    judged = np.empty((*right.shape[:-2], right.shape[-1]), bool)
    for half, other in ((0, 1), (1, 0)):
        best = right[..., other::2].sum(axis=-1).argmax(axis=-1)
        chosen = np.take_along_axis(right, best[..., None, None], axis=-2)
        judged[..., half::2] = chosen[..., 0, half::2]
    return judged


def layer_accuracies(
    train_taps: Mapping[str, ArrayLike],
    train_labels: ArrayLike,
    test_taps: Mapping[str, ArrayLike],
    test_labels: ArrayLike,
    *,
    information: Estimate,
    layers: Sequence[str] | None = None,
) -> dict[str, LayerAccuracy]:
    """The accuracies of classifiers of every layer of a hierarchy, with their bounds.

    A classifier of a sample of z_l is right with probability at most
    `f^-1(I(y; z_l)) <= f^-1(R_l + ... + R_L)` (`accuracy_bound`): z_l may know what the
    layers above know. The theorem is about the images that the rates were measured on,
    here the test images. A classifier of posterior means is not bounded: with y = +-1 and
    q = N(0.1 y, 1), a rate of 0.005 nats, samples give an accuracy of at most 0.55, and the
    mean gives 1.

    Args:
        train_taps: taps of `capture` on training images, with `z_l/sample` and `z_l/mean`.
        train_labels: `[n]`.
        test_taps: the same on test images.
        test_labels: `[m]`. Their shares are the probabilities of the labels.
        information: `[l]`, nats, from the top layer: what each can know at most, of the
            test images: `Evaluation.information_bounds`. What `aggregate_information` says
            of the top layer may take the place of the first.
        layers: those to classify, such as `("z_2",)`; None for all. Kernels of wide ones
            take minutes.

    Returns:
        By layer, from the top. The bound is 1 where there is only one label. Its error is
        half the difference that a standard error of information more and less makes.

    Raises:
        ModuleNotFoundError: without scikit-learn.
        ValueError: for information that is not `[l]`, not of all layers in the taps, or NaN, taps
            that lack a layer, layers that there are not, and what `classify` refuses.

    Reference: Xiao and Bamler (2023).
    """
    nats, errors = _checked_information(information)
    every = layer_names(len(nats))
    kinds = ("sample", "mean")
    for taps in (train_taps, test_taps):
        _refuse_other_layers(taps, [f"{layer}/{kind}" for layer in every for kind in kinds])
    if not set(layers or ()) <= set(every):
        raise ValueError(f"expected layers among {', '.join(every)}, got {layers}")
    train_classes, test_classes = _classes(train_labels, test_labels)
    counts = np.bincount(test_classes, minlength=train_classes.max(initial=-1) + 1)
    shares = counts / counts.sum()
    accuracies = {}
    for layer, value, error in zip(every, nats, errors, strict=True):
        if layers is not None and layer not in layers:
            continue
        samples, means = (
            classify(
                train_taps[f"{layer}/{kind}"],
                train_classes,
                test_taps[f"{layer}/{kind}"],
                test_classes,
            )
            for kind in kinds
        )
        bound = bound_estimate(Estimate(value, error), shares)
        accuracies[layer] = LayerAccuracy(samples, means, bound)
    return accuracies


def _checked_information(
    information: Estimate,
) -> tuple[Float[np.ndarray, " l"], Float[np.ndarray, " l"]]:
    """The information of every layer and its errors, in nats, from the top."""
    nats, errors = (np.asarray(as_float64(each)) for each in information)
    if nats.ndim != 1 or nats.shape != errors.shape or not len(nats):
        raise ValueError(
            f"expected information [l] with errors [l], got shapes {nats.shape} and {errors.shape}"
        )
    return nats, errors


def _refuse_other_layers(taps: Mapping[str, ArrayLike], wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in taps]
    if missing:
        raise ValueError(f"expected taps {', '.join(wanted)}, got none named {', '.join(missing)}")
    # With the rates of some layers only, names would be given to the wrong ones.
    samples = [name for name in taps if name.startswith("z_") and name.endswith("/sample")]
    if len(samples) > len(wanted) / 2:
        raise ValueError(f"expected the information of {', '.join(samples)}, got {wanted[::2]}")


def _classes(
    train_labels: ArrayLike, test_labels: ArrayLike
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
    """Labels as whole numbers from 0, the same ones in both."""
    train, test = as_row_array(train_labels), as_row_array(test_labels)
    if len(train.shape) != 1 or len(test.shape) != 1:
        raise ValueError(f"expected labels [n] and [m], got shapes {train.shape} and {test.shape}")
    # NumPy would make texts of numbers beside texts.
    one_kind = train.dtype.kind == test.dtype.kind
    together = np.concatenate([np.asarray(a, None if one_kind else object) for a in (train, test)])
    classes = as_classes(together, len(together))
    return classes[: len(train)], classes[len(train) :]


def _classifiers(neighbors: int) -> dict[str, Any]:
    try:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
        from sklearn.neighbors import KNeighborsClassifier  # noqa: PLC0415
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415
        from sklearn.preprocessing import StandardScaler  # noqa: PLC0415
        from sklearn.svm import SVC, LinearSVC  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "expected scikit-learn for classifiers, found none: pip install scikit-learn"
        ) from error
    every = {
        "logistic regression": LogisticRegression(max_iter=_ITERATIONS),
        # The dual problem is solved in a random order of examples.
        "linear svm": LinearSVC(dual=False, max_iter=_ITERATIONS),
        "radial svm": SVC(),
        "nearest neighbors": KNeighborsClassifier(neighbors),
    }
    return {name: make_pipeline(StandardScaler(), one) for name, one in every.items()}


def _fit(classifier: Any, features: Float[np.ndarray, "n d"], labels: np.ndarray) -> bool:
    """Train; whether the solver says that it came to its end."""
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier.fit(features, labels)
    unfinished = [warning for warning in caught if warning.category is ConvergenceWarning]
    for warning in caught:
        if warning not in unfinished:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return not unfinished


def _in_units(
    train: Float[np.ndarray, "n d"], test: Float[np.ndarray, "m d"]
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]]:
    """Features in units of a power of two, in which no variance leaves float64.

    What lies farther out than any example of training can tell apart is moved nearer.
    """
    exponents = np.frexp(np.abs(train).max(axis=0))[1]
    moved = np.ldexp(train, -exponents)
    with np.errstate(over="ignore"):
        others = np.ldexp(test, -exponents)
    # The deviation of a constant counts as 1 where features are standardized.
    deviations = moved.std(axis=0)
    farthest = _FARTHEST * np.where(deviations > 0, deviations, 1.0)
    return moved, np.clip(others, -farthest, farthest)


def _flat(features: ArrayLike, name: str) -> Float[np.ndarray, "n d"]:
    array = as_float64(features)
    if array.ndim < 2 or 0 in array.shape:
        raise ValueError(f"expected {name} features [n, ...], got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite {name} features, got NaN or infinity")
    return array.reshape(len(array), -1)
