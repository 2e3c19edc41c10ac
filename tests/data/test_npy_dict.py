import io
import os
import pickle  # noqa: TID251 - only to write what the reader must understand or refuse
import pickletools
import struct
import time
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_noisy_itm import InputError
from hf_noisy_itm.data._npy_dict import read_npy_dict


def write(path, content, protocol=4, shape=(), descr="|O"):
    """A .npy file with an array of objects, as numpy.save writes it, but of any protocol."""
    if not isinstance(content, bytes):
        array = np.empty((), dtype=object)
        array[()] = content
        content = pickle.dumps(array, protocol=protocol)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
    path.write_bytes(header.getvalue() + content)
    return path


BANKS = {
    "numbers": {7: 3, 8: -1, 2**40: 2**70, 0: 0},
    "words": {"1000092795.jpg": 5, "é\n'": 1, "": 2},
    "numpy numbers": {np.int64(3): np.int64(2), np.int32(4): np.uint8(200), 5: np.float32(0.5), 6: np.bool_(True)},
    "numpy words": {np.str_("a"): 1, np.bytes_(b"xy"): 2},
    "containers": {"a": [1, [2.5, None]], "b": (1, 2, 3, 4, (5,)), "c": {"d": True, 1: False}, "e": [], "f": ()},
    "bytes": {"a": b"", "b": b"\x00\xff" * 300, b"c": "x" * 300},
    "empty": {},
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", BANKS)
def test_it_reads_what_pickle_would(name, protocol, tmp_path):
    expected = BANKS[name]
    got = read_npy_dict(write(tmp_path / "bank.npy", expected, protocol))
    assert got == expected
    assert list(got) == list(expected)
    assert not any(isinstance(value, np.generic) for pair in got.items() for value in pair)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_numbers_inside(protocol, tmp_path):
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.asfortranarray(np.eye(3)[:2]), "c": np.array(["x", "yz"])}
    arrays["d"] = np.array([1.5], ">f4")
    got = read_npy_dict(write(tmp_path / "bank.npy", arrays, protocol))
    for name, array in arrays.items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].dtype == array.dtype


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_in_tuples_are_values(protocol, tmp_path):
    shared = np.arange(3)
    value = (shared, [shared, (np.eye(2), "x")], {"a": (np.array(["é"]),)}, ((shared,), 5))
    got = read_npy_dict(write(tmp_path / "bank.npy", {"a": value, "b": shared}, protocol))
    np.testing.assert_equal(got, {"a": value, "b": shared})
    assert isinstance(got["a"], tuple)
    assert isinstance(got["a"][1][1][0], np.ndarray)


def test_it_reads_what_numpy_saves(tmp_path):
    bank = {number: np.int64(number * 3) for number in range(5000)}
    np.save(tmp_path / "bank.npy", bank)
    assert read_npy_dict(tmp_path / "bank.npy") == bank


def test_names_of_old_numpys_are_understood(tmp_path):
    content = pickle.dumps(np.array({3: np.int64(4)}, dtype=object), protocol=2)
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != content or b"numpy.core.multiarray" in content
    assert read_npy_dict(write(tmp_path / "bank.npy", old)) == {3: 4}


@settings(max_examples=30)
@given(st.dictionaries(st.integers() | st.text(), st.integers() | st.text() | st.floats(allow_nan=False)), st.data())
def test_any_flat_dictionary_of_any_protocol(tmp_path_factory, bank, data):
    path = tmp_path_factory.mktemp("bank") / "bank.npy"
    assert read_npy_dict(write(path, bank, data.draw(st.integers(0, 5)))) == bank


class Runs:
    """What a hostile file does: a call as soon as it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_file_is_refused_and_does_not_run(protocol, tmp_path):
    proof = tmp_path / "it_ran"
    path = write(tmp_path / "bank.npy", {"a": Runs(os.system, f"touch {proof}")}, protocol)
    np.load(path, allow_pickle=True)  # the attack is real
    assert proof.exists()
    proof.unlink()
    with pytest.raises(InputError, match=r"not read, because it asks to run (posix|nt)\.system; make it again"):
        read_npy_dict(path)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Runs(eval, "1"), "asks to run (builtins|__builtin__).eval"),
        (Runs(getattr, "a", "upper"), "asks to run (builtins|__builtin__).getattr"),
        (OrderedDict(), "asks to run collections.OrderedDict"),
        (np.random.PCG64, "asks to run numpy.random._pcg64.PCG64"),
        ({1, 2}, "holds a set, which is not supported"),
        (frozenset({1, 2}), "holds a set, which is not supported"),
        (bytearray(b"xy"), "holds a bytearray, which is not supported: save numbers"),
        ((1, bytearray(b"xy")), "holds a bytearray, which is not supported"),
        ([bytearray(b"xy")], "holds a bytearray, which is not supported"),
        (1 + 2j, "holds a complex number, which is not supported"),
        (np.complex64(1j), "holds a complex number of the data type 'c8', which is not supported"),
        (np.zeros(2, complex), "holds a complex number of the data type 'c16', which is not supported"),
        (np.datetime64("2020"), "holds a value of the data type 'M8', which is not supported"),
        (np.array([{}], dtype=object), "has no content, or holds objects"),
        (np.zeros(2, "i4,f4"), "holds a value of the data type 'V8', which is not supported"),
        (np.ndarray, "stands where a value belongs"),
        (np.dtype("i8"), "stands where a value belongs"),
        ((np.ndarray, 1), "stands where a value belongs"),
        ({(1, 2): 3}, "key is missing, or is neither string, number nor bytes"),
    ],
)
def test_what_is_no_plain_value_is_refused_by_its_name(value, named, tmp_path):
    for protocol in range(6):
        with pytest.raises(InputError, match=named):
            read_npy_dict(write(tmp_path / "bank.npy", {"a": value}, protocol))


def opcodes(*parts):
    return b"".join(part if isinstance(part, bytes) else part.encode("latin-1") for part in parts)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"(ios\nsystem\n.", "uses the pickle opcode INST"),
        (b"cos\nsystem\n.", "asks to run os.system"),
        (b"\x8c\x02os\x8c\x06system\x93.", "asks to run os.system"),
        (b"P123\n.", "opcode PERSID"),
        (b"\x82\x01.", "opcode EXT1"),
        (b"cnumpy\nndarray\n)\x81.", "opcode NEWOBJ"),
        (b"cnumpy\nndarray\n)R.", "used as NumPy does not use it"),
        (b"c__builtin__\nbytes\nK\x09\x85R.", "used as NumPy does not use it"),
        (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", "written as 'rot13', not as latin1"),
        (b"K\x01K\x02b.", "int stands where something else belongs"),
        (b"K\x01)R.", "int stands where something else belongs"),
        (b"K\x01.", "holds no array of one object"),
        (b"]K\x01a.", "holds no array of one object"),
        (b"K\x01K\x02.", "damaged"),
        (b"R.", "damaged"),
        (b"(K\x01tb.", "damaged"),
        (b"u.", "damaged"),
        (b"h\x05.", "damaged"),
        (b"K\x01.x", "bytes after the end"),
        (b"", "damaged"),
        (b"hello", "damaged"),
        (b"\x8d" + struct.pack("<Q", 2**62) + b"a.", "damaged"),
        (b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.", "damaged"),
        (b"T" + struct.pack("<i", -1) + b".", "damaged"),
    ],
)
def test_pickles_made_by_hand(content, named, tmp_path):
    with pytest.raises(InputError, match=named) as error:
        read_npy_dict(write(tmp_path / "bank.npy", content))
    assert "\n" not in str(error.value)


def test_a_short_file_cannot_ask_for_endless_copies(tmp_path):
    copies = b"c_codecs\nencode\nq\x00X\x40\x42\x0f\x00" + b"a" * 1_000_000 + b"q\x01X\x06\x00\x00\x00latin1q\x02]"
    copies += b"(" + b"h\x00h\x01h\x02\x86R" * 100_000 + b"e."  # a hundred thousand copies of a megabyte
    with pytest.raises(InputError, match="makes far more data than it has"):
        read_npy_dict(write(tmp_path / "bank.npy", copies))


def test_nested_shared_tuples_take_no_time(tmp_path):
    """As a key, a tuple of twice the tuple of twice … takes 2^60 steps to hash."""
    deep = b"K\x01" + b"q\x00h\x00\x86" * 60
    start = time.perf_counter()
    with pytest.raises(InputError, match="key"):
        read_npy_dict(write(tmp_path / "bank.npy", b"}" + deep + b"K\x01s."))
    assert time.perf_counter() - start < 2


def test_every_truncation_is_an_error(tmp_path):
    path = write(tmp_path / "bank.npy", {"a": np.int64(3), 5: [1.5, b"x"]})
    whole = path.read_bytes()
    assert read_npy_dict(path)["a"] == 3
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="bank.npy"):
            read_npy_dict(path)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_changed_bytes_give_an_error_or_a_dictionary_and_nothing_else(protocol, tmp_path):
    path = write(tmp_path / "bank.npy", {"a": np.int64(3), 5: [1.5, b"x"], "c": np.arange(3)}, protocol)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(500):
        changed = bytearray(whole)
        for place in rng.integers(128, len(whole), rng.integers(1, 4)):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        try:
            outcomes.add(type(read_npy_dict(path)))
        except InputError:
            outcomes.add(InputError)
    assert outcomes == {dict, InputError}


def test_files_that_hold_something_else_are_named(tmp_path):
    path = tmp_path / "bank.npy"
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_npy_dict(path)
    path.write_text("hello, I am no array")
    with pytest.raises(InputError, match="is no .npy file"):
        read_npy_dict(path)
    np.save(path, np.arange(3))
    with pytest.raises(InputError, match=r"holds an array of int64 with shape \(3,\), not a dictionary"):
        read_npy_dict(path)
    np.save(path, np.array([{}, {}], dtype=object))
    with pytest.raises(InputError, match=r"holds an array of object with shape \(2,\)"):
        read_npy_dict(path)
    np.save(path, np.array([1, 2], dtype=object).reshape(2)[0:1].reshape(())[()])
    with pytest.raises(InputError, match="not a dictionary"):
        read_npy_dict(path)
    with pytest.raises(InputError, match="holds something else than a dictionary"):
        read_npy_dict(write(path, [1, 2]))


def test_a_file_that_is_too_long_is_not_read(tmp_path):
    path = write(tmp_path / "bank.npy", {1: 2})
    with pytest.raises(InputError, match=f"has {path.stat().st_size} bytes, more than the 100 that are read"):
        read_npy_dict(path, max_bytes=100)


def test_all_opcodes_of_the_language_are_either_understood_or_refused_by_name(tmp_path):
    """No opcode falls through silently: each alone ends in an error that is ours."""
    for opcode in pickletools.opcodes:
        with pytest.raises(InputError):
            read_npy_dict(write(tmp_path / "bank.npy", opcode.code.encode("latin-1") + b"1\n1\n" + b"\0" * 9 + b"."))
