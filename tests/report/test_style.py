"""Figures appear whole, or the earlier ones stay; their axes can be read."""

import os
import resource

import matplotlib.image
import numpy as np
import pytest

from jaxvae.report.style import draw_spread, figure, mark_epochs, mark_logarithm, ordered_colors


def draw(path):
    with figure(path, size=(4, 3), title="noise") as drawing:
        drawing.subplots().imshow(np.random.default_rng(0).random((50, 50)))


def test_a_figure_is_saved_in_a_folder_that_was_absent(tmp_path):
    draw(tmp_path / "new" / "noise.png")
    assert matplotlib.image.imread(tmp_path / "new" / "noise.png").shape[:2] == (480, 640)
    assert os.listdir(tmp_path / "new") == ["noise.png"]


def test_a_disk_that_fills_up_while_a_figure_is_written_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "noise.png"
    draw(path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"expected to write .*noise\.png, got: File too large"):
            draw(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["noise.png"]


def test_seeds_that_are_not_known_are_left_out_of_means_and_bands(tmp_path):
    values = np.array([[1.0, 2.0, np.nan], [1.0, 2.0, 6.0], [np.nan] * 3])
    with figure(tmp_path / "line.png", size=(4, 3), title="") as drawing:
        axes = drawing.subplots()
        draw_spread(axes, np.array([8, 16, 32]), values, color="black")
        mean = np.ma.filled(axes.lines[0].get_ydata(), np.nan)
        np.testing.assert_array_equal(mean, [1.5, 3.0, np.nan])
        (band,) = axes.collections
        corners = np.concatenate([path.vertices for path in band.get_paths()])
        assert (corners[:, 1].min(), corners[:, 1].max()) == (1.0, 6.0)
        assert corners[:, 0].max() == 16


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.97, 0.984), {"0.97", "0.98"}),
        ((0.06, 0.15), {"0.06", "0.1"}),
        ((0.001, 1), {"0.001", "0.01", "0.1", "1"}),
        ((1e-7, 1e-5), {r"$\mathdefault{10^{-6}}$"}),
    ],
)
def test_a_logarithmic_axis_has_decimals_where_they_are_short(tmp_path, values, expected):
    with figure(tmp_path / "line.png", size=(4, 3), title="") as drawing:
        axes = drawing.subplots()
        axes.plot(values)
        mark_logarithm(axes)
    ticks = axes.get_yticklabels(which="both")
    assert expected <= {tick.get_text() for tick in ticks}


def test_every_epoch_has_a_tick_and_only_those_far_enough_apart_a_label(tmp_path):
    epochs = [0, 1, 2, 5, 10, 20, 50, 75, 100, 150, 200]
    with figure(tmp_path / "line.png", size=(4, 3), title="") as drawing:
        axes = drawing.subplots()
        mark_epochs(axes, epochs)
    labels = [tick.get_text() for tick in axes.get_xticklabels()]
    assert axes.get_xticks().tolist() == epochs
    assert labels == ["0", "1", "2", "5", "10", "20", "50", "", "100", "", "200"]


def test_white_has_three_times_the_light_of_every_line():
    for color in ordered_colors(9):
        channels = [
            part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
            for part in color[:3]
        ]
        light = np.dot(channels, [0.2126, 0.7152, 0.0722])
        assert 1.05 / (light + 0.05) > 3
