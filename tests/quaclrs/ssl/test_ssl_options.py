"""Options of the methods: a wrong one is an error of one line that names the field and what it may be."""

from __future__ import annotations

import dataclasses
import math

import pytest
from ssl_stand_ins import TinyEncoder

from quaclrs.errors import QuaclrsError
from quaclrs.ssl import METHODS

FIELDS = [(name, field.name) for name, method in METHODS.items() for field in dataclasses.fields(method.options_type)]
WHOLE = {
    "projection_dim", "hidden_dim", "queue_size", "output_dim", "bottleneck_dim", "n_prototypes",
    "sinkhorn_iterations",
}  # fmt: skip
SHARES = {
    "momentum", "center_momentum", "warmup_share", "frozen_last_layer_share", "queue_start",
    "frozen_prototypes_share",
}  # fmt: skip

#: What lies just outside of and just inside each bound.
TOO_LOW = [
    ("simclr", "projection_dim", 0), ("simclr", "hidden_dim", 0), ("simclr", "temperature", 0.0),
    ("moco", "queue_size", 0), ("moco_v2", "hidden_dim", 0), ("moco_v2", "temperature", 0.0),
    ("byol", "momentum", -0.01), ("barlow_twins", "projection_dim", 1), ("barlow_twins", "redundancy_weight", -1e-9),
    ("barlow_twins", "loss_scale", 0.0), ("dino", "output_dim", 1), ("dino", "teacher_temperature", 0.0),
    ("dino", "warmup_teacher_temperature", 0.0), ("dino", "student_temperature", 0.0), ("dino", "bottleneck_dim", 0),
    ("swav", "n_prototypes", 1), ("swav", "epsilon", 0.0), ("swav", "sinkhorn_iterations", 0),
    ("swav", "queue_size", -1), ("swav", "temperature", 0.0),
]  # fmt: skip
ALLOWED = [
    ("simclr", "projection_dim", 1), ("barlow_twins", "redundancy_weight", 0), ("barlow_twins", "projection_dim", 2),
    ("swav", "queue_size", 0), ("moco", "momentum", 0), ("moco", "momentum", 1), ("dino", "center_momentum", 1.0),
    ("dino", "warmup_share", 0.0), ("simclr", "temperature", 3), ("moco", "queue_size", 1),
]  # fmt: skip


def options_of(name: str, **values):
    return METHODS[name].options_type(**values)


@pytest.mark.parametrize(("name", "field", "value"), TOO_LOW)
def test_a_value_below_its_bound_is_refused(name, field, value):
    with pytest.raises(QuaclrsError, match=rf"^{field} is {value}; it must be a (whole )?number from ") as refused:
        options_of(name, **{field: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("name", "field"), [(n, f) for n, f in FIELDS if f in SHARES])
@pytest.mark.parametrize("value", [-0.1, 1.01])
def test_a_share_or_momentum_lies_between_0_and_1(name, field, value):
    with pytest.raises(QuaclrsError, match=f"^{field} is {value}; it must be a number from 0 to 1$"):
        options_of(name, **{field: value})


@pytest.mark.parametrize(("name", "field"), FIELDS)
@pytest.mark.parametrize("value", ["1", None, True, [1], math.nan])
def test_what_is_no_number_is_refused(name, field, value):
    with pytest.raises(QuaclrsError, match=f"^{field} is "):
        options_of(name, **{field: value})


@pytest.mark.parametrize(("name", "field"), [(n, f) for n, f in FIELDS if f in WHOLE])
def test_a_fraction_is_refused_where_a_whole_number_is_wanted(name, field):
    with pytest.raises(QuaclrsError, match=rf"^{field} is 2\.5; it must be a whole number from "):
        options_of(name, **{field: 2.5})


@pytest.mark.parametrize(("name", "field", "value"), ALLOWED)
def test_the_bounds_themselves_are_allowed(name, field, value):
    assert getattr(options_of(name, **{field: value}), field) == value


@pytest.mark.parametrize("name", list(METHODS))
def test_without_options_a_method_has_its_defaults(name):
    assert METHODS[name](TinyEncoder()).options == METHODS[name].options_type()


def test_an_option_that_a_method_does_not_have_is_refused():
    with pytest.raises(TypeError, match="queue_size"):
        options_of("simclr", queue_size=4)
