"""Corruptions: what each does, how strong it is, and equal bytes anywhere, in any batch."""

from __future__ import annotations

import hashlib
from typing import Any, Dict, List

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import corruptions, feed
from agents.backends import UnsupportedError
from agents.corruptions import NAMES, SEVERITIES, Corruption, moments

SHAPES = ([12, 14, 3], [3, 12, 14], [20, 10], [40, 10, 1], [1, 200], [9, 6])


def sample(*shape: int, scale: float = 1.0) -> Any:
    """Values between 0 and `scale` that no random generator is needed for."""
    count = int(np.prod(shape))
    values = (np.arange(count, dtype="int64") * 40503 + 12345) % 65536
    return (values / 65536 * scale).astype("float32").reshape(shape)


def spoil(name: str, array: Any, severity: int = 3, seed: int = 0, index: int = 0) -> Any:
    return Corruption(name, severity, seed).of(array, index, "x")


# Found once, on x86-64 by numpy 2 under Python 3.11; every other must find the same.
SHA256: Dict[str, str] = {
    "noise": "d7584c1382f0a1819a17e6dd5ad1fa1f25706bd63d1af4be026beaa363c1440f",
    "blur": "3e0af601d7aa3ebf0dbbd44b8f1444844b24c137f7f49a26acf760331b4a05c4",
    "contrast": "c7e9c522c41e31fdefeb73ef6f3f1970749dd436530565850e98008cacb3a274",
    "occlusion": "d3aee6c61c628bbabed1c4ca2cca7e906c98841967fe49568c4f9f848c246dfb",
    "missing-channels": "312cfbd61baeb4b7858da6e20ca7d38ef502d42a2c2e6c913f579524d6e75540",
    "input-quantisation": "fa5b45cf16a10e2c7a29d3ec0d026ad4d6a1b6e2d2a8fd83fc2c6c39f57fdf84",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_are_the_same_on_every_device(name: str) -> None:
    sums = hashlib.sha256()
    for shape in SHAPES:
        if name == "missing-channels" and shape == [1, 200]:
            continue
        for severity in SEVERITIES:
            for index in (0, 7):
                array = sample(*shape, scale=3.7)
                sums.update(spoil(name, array, severity, 11, index).astype("<f4").tobytes())
    assert sums.hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_more_severe_is_further_away(name: str, shape: List[int]) -> None:
    array = np.random.RandomState(1).standard_normal(shape).astype("float32")
    if name == "missing-channels" and shape == [1, 200]:
        with pytest.raises(UnsupportedError, match="have one channel"):
            spoil(name, array)
        return
    away = []
    for severity in SEVERITIES:
        each = [spoil(name, array, severity, index=index) for index in range(12)]
        assert all(one.dtype == np.float32 and one.shape == array.shape for one in each)
        away.append(np.mean([((one - array) ** 2).mean() for one in each]))
    assert away[0] > 0
    assert sorted(away) == away or name == "missing-channels"  # of three channels one goes, or two
    assert away[4] > away[0] * 1.1


@pytest.mark.parametrize("name", NAMES)
def test_the_sample_itself_is_left_alone(name: str) -> None:
    array = sample(8, 9, 3)
    before = array.copy()
    spoil(name, array)
    np.testing.assert_array_equal(array, before)


def test_what_is_random_differs_by_seed_severity_index_and_key() -> None:
    array = sample(8, 9, 3)
    others = [
        Corruption("noise", 3, 1).of(array, 0, "x"),
        Corruption("noise", 3, 0).of(array, 1, "x"),
        Corruption("noise", 3, 0).of(array, 0, "z"),
    ]
    first = Corruption("noise", 3, 0).of(array, 0, "x")
    assert all(np.abs(first - other).max() > 0.1 for other in others)
    np.testing.assert_array_equal(first, Corruption("noise", 3, 0).of(array, 0, "x"))


@given(st.integers(1, 7), st.sampled_from(NAMES))
def test_no_batch_size_changes_a_byte(batch: int, name: str) -> None:
    arrays = np.stack([sample(6, 7, 3, scale=1 + at) for at in range(7)])
    corruption = Corruption(name, 4, 5)
    parts = []
    for start in range(0, 7, batch):
        parts += feed.spoiled([arrays[start : start + batch]], ["x"], start, corruption)
    expected = np.stack([corruption.of(arrays[at], at, "x") for at in range(7)])
    assert np.concatenate(parts).tobytes() == expected.tobytes()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_is_normal_and_as_strong_as_the_table_says(severity: int) -> None:
    array = sample(300, 300)
    added = (spoil("noise", array, severity) - array) / array.std()
    assert added.mean() == pytest.approx(0, abs=0.02)
    assert added.std() == pytest.approx(corruptions.NOISE[severity - 1], rel=0.01)
    third, fourth = ((added / added.std()) ** 3).mean(), ((added / added.std()) ** 4).mean()
    assert third == pytest.approx(0, abs=0.03)
    # Of a sum of twelve uniform numbers: 3 - 6/5/12.
    assert fourth == pytest.approx(2.9, abs=0.06)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize(("length", "index"), [(32, 0), (224, 1)])
def test_the_blur_of_a_point_has_the_papers_width(severity: int, length: int, index: int) -> None:
    sigma = ((0.4, 0.6, 0.7, 0.8, 1.0), (1, 2, 3, 4, 6))[index][severity - 1]
    line = np.zeros((length, 1), "float32")
    line[length // 2] = 1
    blurred = spoil("blur", line, severity)[:, 0].astype("float64")
    at = np.arange(length) - length // 2
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    assert (blurred * at * at).sum() == pytest.approx(sigma**2, rel=1e-4)


def test_blur_spares_the_channels() -> None:
    array = np.zeros((9, 9, 3), "float32")
    array[4, 4, 1] = 1
    blurred = spoil("blur", array, 5)
    assert (blurred[..., [0, 2]] == 0).all()
    assert blurred[3, 4, 1] > 0
    assert blurred[4, 3, 1] == pytest.approx(blurred[3, 4, 1], rel=1e-6)


def test_a_long_recording_is_blurred_by_samples_not_by_its_length() -> None:
    line = np.zeros((16000, 1), "float32")
    line[8000] = 1
    assert (spoil("blur", line, 5)[: 8000 - 108] == 0).all()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_keeps_the_mean(severity: int) -> None:
    array = sample(30, 30) + 5
    flat = spoil("contrast", array, severity)
    assert flat.mean() == pytest.approx(array.mean(), rel=1e-5)
    assert flat.std() == pytest.approx(corruptions.CONTRAST[severity - 1] * array.std(), rel=1e-4)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("shape", [[100, 100, 3], [1000, 2]])
def test_a_patch_covers_its_share(severity: int, shape: List[int]) -> None:
    array = sample(*shape)
    places = set()
    for index in range(5):
        covered = spoil("occlusion", array, severity, index=index)
        changed = (covered != array).all(axis=-1)
        share = changed.mean()
        assert share == pytest.approx(corruptions.COVERED[severity - 1], rel=0.05)
        places.add(tuple(np.argwhere(changed)[0]))
        # In one piece, of one value: the mean.
        assert len(np.unique(covered[changed])) == 1
        assert covered[changed][0, 0] == pytest.approx(array.mean(), abs=1e-4)
    assert len(places) > 1


@pytest.mark.parametrize(
    ("shape", "axis", "gone"),
    [
        ([16, 16, 3], 2, [1, 1, 1, 1, 2]),
        ([3, 16, 16], 0, [1, 1, 1, 1, 2]),
        ([40, 10, 1], 1, [1, 2, 3, 4, 5]),
        ([40, 10], 1, [1, 2, 3, 4, 5]),
        ([20], 0, [2, 4, 6, 8, 10]),
        ([50, 2], 1, [1, 1, 1, 1, 1]),
    ],
)
def test_channels_or_bands_go_missing(shape: List[int], axis: int, gone: List[int]) -> None:
    array = sample(*shape)
    for severity, count in zip(SEVERITIES, gone):
        left = spoil("missing-channels", array, severity)
        others = tuple(at for at in range(array.ndim) if at != axis)
        assert int((left != array).any(axis=others).sum()) == count


@pytest.mark.parametrize("severity", SEVERITIES)
def test_few_levels_are_left(severity: int) -> None:
    array = sample(50, 50) * 10 - 3
    coarse = spoil("input-quantisation", array, severity)
    levels = 2 ** corruptions.BITS[severity - 1]
    assert len(np.unique(coarse)) == levels
    step = (array.max() - array.min()) / (levels - 1)
    assert np.abs(coarse - array).max() <= step / 2 * 1.0001


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_without_contrast_stays_finite(name: str) -> None:
    for value in (0.0, 7.5):
        found = spoil(name, np.full((8, 9, 3), value, "float32"))
        np.testing.assert_allclose(found, value, atol=1e-5)


@pytest.mark.parametrize("name", ["blur", "occlusion"])
def test_a_vector_has_no_neighbours(name: str) -> None:
    with pytest.raises(UnsupportedError, match="no neighbours"):
        spoil(name, sample(20))


def test_a_signal_of_one_channel_has_none_to_miss() -> None:
    with pytest.raises(UnsupportedError, match="one channel"):
        spoil("missing-channels", sample(200, 1))


def test_bytes_stay_bytes() -> None:
    codes = (sample(20, 20, 3) * 255).astype("uint8")
    found = spoil("noise", codes, 5)
    assert found.dtype == np.uint8
    assert {0, 255} <= set(found.ravel().tolist())  # clipped, not wrapped


def test_masks_beside_what_is_measured_are_left_alone() -> None:
    images, ids = sample(2, 6, 6, 3), np.ones((2, 4), "int64")
    found = feed.spoiled([images, ids], ["x", "ids"], 0, Corruption("noise", 1, 0))
    assert found[1] is ids
    assert (found[0] != images).any()
    with pytest.raises(UnsupportedError, match="measured values, not for int64"):
        feed.spoiled([ids], ["ids"], 0, Corruption("noise", 1, 0))


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=40))
def test_moments_are_those_of_numpy(values: List[float]) -> None:
    array = np.array(values, "float32")
    mean, deviation = corruptions.moments(array)
    largest = float(np.abs(array).max())
    assert mean == pytest.approx(array.mean(dtype="float64"), abs=largest * 1e-6 + 1e-30)
    assert deviation == pytest.approx(array.std(dtype="float64"), abs=largest * 2e-6 + 1e-30)
    assert corruptions.moments(array[::-1]) == (mean, deviation)


def test_moments_of_a_large_bright_sample_do_not_overflow() -> None:
    """A 4K image: the sum of its squares takes more than 64 bits."""
    sample = np.full((2160, 3840, 3), 255, "float32")
    sample[::10] = 0
    mean, deviation = moments(sample)
    assert (mean, deviation) == pytest.approx((229.5, 76.5), rel=1e-6)
