"""Messages: the same bytes back, no pickle, and nothing that does not belong in one."""

import pickletools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hf_datasel.collaborative.messages import (
    Adapter,
    FilterReply,
    FilterRequest,
    PublicRows,
    ScoreReply,
    ScoreRequest,
    TrainReply,
    TrainRequest,
)
from hf_datasel.collaborative.wire import decode, describe

matrices = arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, min_side=0))
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_objects = st.dictionaries(
    st.text(), st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
)
adapters = st.builds(Adapter, config=json_objects, weights=st.dictionaries(st.text(min_size=1), matrices, max_size=3))
public_rows = st.builds(PublicRows, table=st.binary(max_size=50))
messages = st.one_of(
    adapters,
    public_rows,
    st.builds(
        ScoreRequest,
        rule=json_objects,
        recording=json_objects,
        validation=public_rows,
        contrasts=st.dictionaries(st.text(), public_rows, max_size=2),
        anchors=st.none() | public_rows,
        start=st.none() | adapters,
        share_anchor_scores=st.booleans(),
    ),
    st.builds(ScoreReply, anchor_scores=st.none() | arrays.arrays(np.float32, st.integers(0, 9))),
    st.builds(
        FilterRequest,
        rule=st.none() | json_objects,
        share_num_kept=st.booleans(),
        origin=st.none() | json_objects,
    ),
    st.builds(FilterReply, has_rows=st.booleans(), num_kept=st.none() | st.integers(0)),
    st.builds(TrainRequest, start=st.none() | adapters, round=st.integers(0), num_steps=st.none() | st.integers(1)),
    st.builds(TrainReply, adapter=adapters),
)


@given(messages)
def test_a_message_comes_back_as_it_was(message):
    payload = message.to_bytes()
    back = type(message).from_bytes(payload)
    assert type(back) is type(message)
    assert describe(back) == describe(message)
    assert back.to_bytes() == payload


@given(messages, st.data())
def test_a_cut_off_message_is_refused(message, data):
    payload = message.to_bytes()
    with pytest.raises(ValueError, match="no message: cut off, or damaged"):
        decode(payload[: data.draw(st.integers(0, len(payload) - 1))])


def test_values_survive_the_way():
    adapter = Adapter({"r": 2, "target_modules": ["q"], "rank_pattern": {}}, {"a": np.float32([[1, 2]]).T})
    back = TrainReply.from_bytes(TrainReply(adapter).to_bytes()).adapter
    assert back.config == adapter.config
    np.testing.assert_array_equal(back.weights["a"], [[1], [2]])


def test_nothing_is_pickled():
    payload = ScoreReply(np.arange(3, dtype=np.float32)).to_bytes()
    with pytest.raises(ValueError, match=r"opcode|pickle"):
        list(pickletools.genops(payload))


@pytest.mark.parametrize(
    ("message", "error", "words"),
    [
        (FilterReply(has_rows=1), TypeError, r"FilterReply.has_rows must be bool, not int"),
        (FilterReply(True, num_kept=True), TypeError, r"FilterReply.num_kept must be int or NoneType, not bool"),
        (FilterReply(True, num_kept=np.int64(3)), TypeError, r"FilterReply.num_kept must be int"),
        (ScoreReply([0.5]), TypeError, r"ScoreReply.anchor_scores must be ndarray or NoneType, not list"),
        (FilterRequest({"rule": object()}, False), TypeError, r"FilterRequest.rule\[rule\] holds object"),
        (FilterRequest({"threshold": float("nan")}, False), ValueError, "JSON"),
    ],
)
def test_what_cannot_travel_is_refused_by_name(message, error, words):
    with pytest.raises(error, match=words):
        message.to_bytes()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"FilterReply", b"FilterXeply", "'FilterXeply' is no message of this hf_datasel; it knows"),
        (b"num_kept", b"numXkept", r"FilterReply: fields \['has_rows', 'numXkept'\] do not fit"),
        (b"datasel message 1", b"datasel message 9", "is of format 'hf_datasel message 9'"),
        (b'has_rows\\": true', b'has_rows\\": 1234', "FilterReply.has_rows must be bool, not int"),
        (b"content", b"cantent", "says neither kind nor content"),
    ],
)
def test_a_message_of_another_make_is_refused_by_name(old, new, words):
    payload = FilterReply(has_rows=True, num_kept=3).to_bytes()
    assert old in payload
    with pytest.raises(ValueError, match=words):
        decode(payload.replace(old, new))


def test_a_missing_array_is_noticed():
    payload = ScoreReply(np.zeros(2, np.float32)).to_bytes()
    assert payload.count(b"ScoreReply.anchor_scores") == 2
    with pytest.raises(ValueError, match=r"the array 'ScoreReply\.anchor_scores' is missing"):
        decode(payload[::-1].replace(b"ScoreReply.anchor_scores"[::-1], b"ScoreReply.anchor_scorez"[::-1], 1)[::-1])


def test_another_class_than_expected_is_refused():
    with pytest.raises(ValueError, match="A TrainReply was expected, but a FilterReply came"):
        TrainReply.from_bytes(FilterReply(True).to_bytes())
