"""Policies as data: shipped ones, files, variants, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from quaclrs.augment import (
    AUGMENTATIONS,
    VARIANTS,
    AugmentedLogMel,
    Policy,
    load_policies,
    policy_from_dict,
    shipped_policies,
    variant_policy,
    with_background,
)
from quaclrs.errors import QuaclrsError
from quaclrs.models import LogMelSpectrogram


def test_every_shipped_policy_can_be_built_for_two_views_and_survives_yaml(shared_data):
    assert {"default", "paper", "patch_stretch_shift", "street", "strong_and_weak", "two_views"} <= set(
        shipped_policies()
    )
    for name in shipped_policies():
        for policy in load_policies(name, views=2):
            built = AugmentedLogMel(with_background(policy, str(shared_data / "noise")), LogMelSpectrogram())
            assert set(built.steps) == set(policy.augmentations)
            assert policy_from_dict(yaml.safe_load(yaml.safe_dump(policy.to_dict()))) == policy


def test_the_combination_that_the_paper_concludes_with_holds_its_three_augmentations():
    (policy,) = load_policies("patch_stretch_shift")
    assert set(policy.augmentations) == {"patch_augment", "time_stretch", "pitch_shift"}
    assert policy.augmentations["patch_augment"] == {"n_patches": 5, "size": 10, "probability": 0.5}
    assert policy.augmentations["time_stretch"]["rate"] == [0.8, 1.2]
    assert policy.augmentations["pitch_shift"]["semitones"] == [-2.0, 2.0]


def test_views_take_the_policies_of_a_list_in_turn_and_a_single_one_serves_all():
    strong, weak, again = load_policies("strong_and_weak", views=3)
    assert strong == again != weak
    assert "spec_augment" in strong.augmentations
    assert "spec_augment" not in weak.augmentations
    assert load_policies("default", views=2)[0] == load_policies("default", views=2)[1]


def test_a_file_of_ones_own_is_read(tmp_path):
    (tmp_path / "mine.yaml").write_text("gain: {decibels: 3}\nspec_augment:\n")
    (policy,) = load_policies(tmp_path / "mine.yaml")
    assert policy == Policy({"gain": {"decibels": 3}, "spec_augment": {}})


def test_every_variant_of_the_paper_is_a_policy_with_its_parameters():
    for name in VARIANTS:
        (policy,) = load_policies(name)
        assert policy == variant_policy(name)
        AugmentedLogMel(policy, LogMelSpectrogram())
    assert variant_policy("original").is_identity
    assert variant_policy("timestretch_0.8").augmentations == {"time_stretch": {"rate": 0.8}}
    assert variant_policy("noise_5dB").augmentations == {"gaussian_noise": {"snr_db": 5.0}}


def test_background_recordings_are_filled_in_where_a_policy_wants_them_and_names_none():
    (street,) = load_policies("street")
    assert with_background(street, "rain").augmentations["background_noise"]["recordings"] == "rain"
    assert with_background(with_background(street, "rain"), "wind") == with_background(street, "rain")
    (default,) = load_policies("default")
    assert with_background(default, "rain") == default
    with pytest.raises(QuaclrsError, match="--background-noise DIR"):
        AugmentedLogMel(street, LogMelSpectrogram())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gain: [1, 2]", "gain must hold options"),
        ("- gain", "one `augmentation: options`"),
        ("random_placement: maybe", "random_placement"),
        ("views: {}", "views must be a list"),
        ("gain: {", "cannot be read"),
        ("", "one `augmentation: options`"),
    ],
)
def test_a_file_that_is_no_policy_is_named_in_one_line(tmp_path, text, says):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(QuaclrsError, match=says) as error:
        load_policies(tmp_path / "mine.yaml")
    assert "mine.yaml" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"reverse": {}}, "unknown augmentation reverse; choose mixup, time_stretch"),
        ({"gain": {"decibel": 3}}, "gain has no option decibel; choose clip, decibels, probability"),
        ({"random_cut": {"sampling_rate": 8000}}, "random_cut has no option sampling_rate"),
    ],
)
def test_an_unknown_augmentation_or_option_is_named_with_the_known_ones(policy, says):
    with pytest.raises(QuaclrsError, match=says):
        AugmentedLogMel(Policy(policy), LogMelSpectrogram())


def test_an_unknown_policy_is_named_with_the_shipped_ones():
    with pytest.raises(QuaclrsError, match=r"policy none_such does not exist; .* default, "):
        load_policies("none_such")


def test_no_augmentation_turns_time_around_and_all_can_be_listed_without_a_policy():
    assert list(AUGMENTATIONS) == [
        "mixup",
        "time_stretch",
        "pitch_shift",
        "gain",
        "gaussian_noise",
        "background_noise",
        "random_cut",
        "time_shift",
        "equalizer",
        "random_resized_crop",
        "spec_augment",
        "patch_augment",
    ]


def test_reading_a_policy_needs_no_torch():
    code = (
        "import sys; from quaclrs.augment import load_policies; load_policies('default'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
