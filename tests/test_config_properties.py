"""Whatever stands in the parameters: they are made, or refused with one line."""

import json

import pytest
from fuzz_targets import check_line, check_parameters, list_parameters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from playlist_pipeline.config import CONFIG_CLASSES, make_config
from playlist_pipeline.errors import UserError

few = settings(derandomize=True, database=None, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**31, 2**63, 10**400, -(10**400), float("inf"), float("nan"), 5e-324, -0.0]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["\n", "\ud83d", "\x00", "small", "als", "uniform"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(SCALARS, inner, max_size=3)),
    max_leaves=6,
)


@given(st.data())
@few
def test_any_value_of_any_parameter(data):
    key = data.draw(st.sampled_from(list(CONFIG_CLASSES)))
    values = list_parameters()[key]
    names = data.draw(st.lists(st.sampled_from(list(values)), min_size=1, max_size=3))
    check_parameters(json.dumps({key: {name: data.draw(st.one_of(VALUES, near(values[name]))) for name in names}},
                                skipkeys=True).encode())  # fmt: skip


def near(value):
    """Values of the same type as this one."""
    if isinstance(value, dict):
        return st.fixed_dictionaries({name: near(item) for name, item in value.items()})
    if isinstance(value, list):
        return st.lists(st.one_of(*map(near, value)) if value else VALUES, max_size=4)
    if isinstance(value, str):
        return st.sampled_from([value, value + "x", ""])
    numbers = {bool: st.booleans(), int: st.integers(-2, 100), float: st.floats()}
    return numbers.get(type(value), st.just(value))


@pytest.mark.parametrize("key", CONFIG_CLASSES)
@given(data=st.data())
@settings(few, max_examples=12)
def test_anything_in_place_of_the_parameters(key, data):
    values = data.draw(
        st.one_of(VALUES, st.dictionaries(SCALARS, VALUES, max_size=2).map(list_parameters()[key].__or__))
    )
    try:
        make_config(key, values)
    except UserError as error:
        check_line(error)


def test_the_parameters_of_the_project_are_made():
    assert check_parameters(b"{}")
