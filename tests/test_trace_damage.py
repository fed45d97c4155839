"""A Trace that was cut off, mixed up or written by another version is refused, and the file is named."""

import json

import numpy as np
import pytest

from hf_datasel.trace import Trace

IDS = np.arange(10)


@pytest.fixture
def path(tmp_path):
    trace = Trace.create(tmp_path / "trace", IDS)
    trace.mark_unmeasurable([4], "masked")
    values = np.where(IDS == 4, np.nan, IDS)
    for step in (5, 6, 7):
        trace.write_column(values + step, step=step)
    trace.finish()
    return tmp_path / "trace"


def change_manifest(path, **changes):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, **changes}))


@pytest.mark.parametrize("size", [0, 60, 128, 140, 167])
def test_a_column_that_was_cut_off_is_named(path, size):
    file = path / "columns" / "0001-step6.npy"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"Column of step 6: .*0001-step6.npy is cut off or damaged"):
        Trace.load(path)


def test_a_column_with_one_wrong_bit_is_named_with_the_way_out(path):
    file = path / "columns" / "0002-step7.npy"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"Column of step 7: .*0002-step7.npy is damaged.*drop_after\(6\)"):
        Trace.load(path)


def test_a_column_of_another_shape_is_named(path):
    np.save(path / "columns" / "0000-step5.npy", np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"0000-step5.npy holds float32\[3\], but float32\[10\]"):
        Trace.load(path)


def test_a_column_without_values_is_named(path):
    (path / "columns" / "0001-step6.npy").unlink()
    with pytest.raises(ValueError, match=r"0001-step6.npy is missing"):
        Trace.load(path)


def test_a_missing_column_between_others_is_noticed(path):
    (path / "columns" / "0001-step6.json").unlink()
    with pytest.raises(ValueError, match=r"0002-step7.json does not follow 1 columns"):
        Trace.load(path)


@pytest.mark.parametrize(("content", "reason"), [("", "not JSON"), ("[1]", "a JSON object"), ("{}", "KeyError")])
def test_a_damaged_description_is_named(path, content, reason):
    (path / "columns" / "0001-step6.json").write_text(content)
    with pytest.raises(ValueError, match=rf"0001-step6.json is damaged: .*{reason}"):
        Trace.load(path)


def test_ids_that_are_not_those_of_the_manifest_are_refused(path):
    np.save(path / "ids.npy", IDS + 1)
    with pytest.raises(ValueError, match=r"ids.npy does not hold what was written with the manifest"):
        Trace.load(path)


def test_another_number_of_ids_is_refused(path):
    np.save(path / "ids.npy", IDS[:9])
    with pytest.raises(ValueError, match=r"ids.npy holds int64\[9\], but int64\[10\]"):
        Trace.load(path)


def test_other_unmeasurable_ids_are_refused(path):
    np.save(path / "unmeasurable-0000.npy", np.array([5]))
    with pytest.raises(ValueError, match=r"unmeasurable-0000.npy does not hold what was written"):
        Trace.load(path)


def test_another_format_version_is_refused_with_the_way_out(path):
    change_manifest(path, version=99)
    with pytest.raises(
        ValueError, match=r"format version 99; this hf_datasel reads version 1. Install the hf_datasel"
    ):
        Trace.load(path)


def test_the_manifest_of_something_else_is_refused(path):
    change_manifest(path, format="hf_datasel.selection")
    with pytest.raises(ValueError, match="not the manifest of a Trace"):
        Trace.load(path)


def test_a_manifest_without_a_key_is_refused(path):
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["ids_crc32"]
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"manifest.json is damaged: it has no 'ids_crc32'"):
        Trace.load(path)


@pytest.mark.parametrize("read", [Trace.load, Trace.open])
def test_nothing_there_is_said_so(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=r"No Trace at .*manifest.json is missing"):
        read(tmp_path)


def test_a_pickle_is_not_read(path):
    np.save(path / "columns" / "0000-step5.npy", np.array([{}] * 10), allow_pickle=True)
    with pytest.raises(ValueError, match=r"0000-step5.npy is cut off or damaged"):
        Trace.load(path)
