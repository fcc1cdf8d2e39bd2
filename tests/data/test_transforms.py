"""Crops, flips and normalization against loops written here."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from study.data import transforms
from study.data.transforms import Box
from study.errors import DataError
from study.spec.clip import ClipSpec


def make_clip_spec(size: int, scales: tuple[float, ...], **options: object) -> ClipSpec:
    return ClipSpec.model_validate({"frames": 4, "size": size, "resize": None, "scales": scales, **options})


def place_three(height: int, width: int, size: int) -> list[Box]:
    return [transforms.place_test_box(height, width, size, crop) for crop in ("start", "center", "end")]


def test_multi_scale_crops_have_the_sides_and_the_13_positions_of_tsn() -> None:
    clip = make_clip_spec(224, (1.0, 0.875, 0.75, 0.66))
    rng = np.random.default_rng(0)
    boxes = {transforms.draw_training_box(256, 340, clip, rng) for _ in range(20_000)}
    # int(256 * scale) = 256, 224, 192, 168; neighbors in that list may be combined.
    sides = [256, 224, 192, 168]
    expected = set()
    for i, j in product(range(4), range(4)):
        if abs(i - j) > 1:
            continue
        height, width = sides[i], sides[j]
        down, right = (256 - height) // 4, (340 - width) // 4
        quarters = [
            (0, 0),
            (0, 4),
            (4, 0),
            (4, 4),
            (2, 2),
            (0, 2),
            (4, 2),
            (2, 0),
            (2, 4),
            (1, 1),
            (1, 3),
            (3, 1),
            (3, 3),
        ]
        expected |= {Box(y * down, x * right, height, width) for y, x in quarters}
    assert boxes == expected


def test_a_side_within_three_pixels_of_the_output_is_not_resized() -> None:
    # int(256 * 0.88) = 225 and int(256 * 0.86) = 220.
    rng = np.random.default_rng(0)
    near = transforms.draw_training_box(256, 256, make_clip_spec(224, (0.88,)), rng)
    far = transforms.draw_training_box(256, 256, make_clip_spec(224, (0.86,)), rng)
    assert (near.height, far.height) == (224, 220)


def test_without_scales_every_position_of_a_fixed_crop_is_drawn() -> None:
    clip = make_clip_spec(8, ())
    rng = np.random.default_rng(0)
    boxes = {transforms.draw_training_box(10, 11, clip, rng) for _ in range(500)}
    assert boxes == {Box(top, left, 8, 8) for top in range(3) for left in range(4)}
    with pytest.raises(DataError, match="7 x 11 pixels"):
        transforms.draw_training_box(7, 11, clip, rng)


def test_three_crops_lie_along_the_long_side() -> None:
    assert place_three(256, 340, 256) == [
        Box(0, 0, 256, 256),
        Box(0, 42, 256, 256),
        Box(0, 84, 256, 256),
    ]
    assert [box.top for box in place_three(41, 32, 32)] == [0, 4, 9]
    assert transforms.place_test_box(256, 340, 224, "center") == Box(16, 58, 224, 224)
    with pytest.raises(DataError, match="smaller than a crop of 33"):
        transforms.place_test_box(41, 32, 33, "center")


def test_a_crop_of_the_right_size_is_copied_and_another_one_scaled() -> None:
    frames = torch.arange(2 * 3 * 8 * 10, dtype=torch.uint8).reshape(2, 3, 8, 10)
    same = transforms.crop_frames(frames, Box(1, 2, 4, 4), 4)
    for t, c, y, x in product(range(2), range(3), range(4), range(4)):
        assert same[t, c, y, x] == frames[t, c, y + 1, x + 2]
    flat = torch.full((2, 3, 8, 10), 77, dtype=torch.uint8)
    assert transforms.crop_frames(flat, Box(0, 0, 8, 6), 5).shape == (2, 3, 5, 5)
    assert (transforms.crop_frames(flat, Box(0, 0, 8, 6), 5) == 77).all()


def test_resize_takes_both_sides_or_the_short_one() -> None:
    frames = torch.zeros(2, 3, 60, 80, dtype=torch.uint8)
    assert transforms.resize_frames(frames, (30, 50)).shape == (2, 3, 30, 50)
    assert transforms.resize_frames(frames, 30).shape == (2, 3, 30, 40)
    assert transforms.resize_frames(frames, None) is frames


def test_flip_exchanges_left_and_right_and_reverse_the_order_of_frames() -> None:
    frames = torch.arange(2 * 1 * 1 * 3, dtype=torch.uint8).reshape(2, 1, 1, 3)
    assert transforms.flip_frames(frames)[0, 0, 0].tolist() == [2, 1, 0]
    assert transforms.to_clip(frames, reverse=True)[0, :, 0, 0].tolist() == [3, 0]
    assert transforms.to_clip(frames)[0, :, 0, 0].tolist() == [0, 3]


def test_normalize_subtracts_the_mean_and_divides_by_the_deviation_of_each_channel() -> None:
    clip = make_clip_spec(8, (), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    clips = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1, 1)
    values = transforms.normalize(clips, clip).flatten().tolist()
    # 0/255 = 0, 51/255 = 0.2, 255/255 = 1.
    assert values == pytest.approx([(0 - 0.1) / 0.5, (0.2 - 0.2) / 0.25, (1 - 0.3) / 0.125], abs=1e-6)
