import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_noisy_itm import InputError
from hf_noisy_itm.data._mat import read_mat


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "c16"])
def test_matrices_are_those_that_scipy_wrote(tmp_path, kind, packed):
    wanted = {"a": np.arange(6).reshape(2, 3).astype(kind), "longer_name": np.arange(24).reshape(2, 3, 4).astype(kind)}
    others = {"text": "abc", "cell": np.array([1, "x"], dtype=object), "record": {"a": 1.0}}
    scipy.io.savemat(tmp_path / "x.mat", {**others, **wanted}, do_compression=packed)
    found = read_mat(tmp_path / "x.mat", ["a", "longer_name", "text", "cell", "record", "absent"])
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert (found[name].dtype, found[name].tolist()) == (array.dtype, array.tolist())


@pytest.mark.parametrize(("order", "mark"), [("<", b"\x00\x01IM"), (">", b"\x01\x00MI")])
def test_both_byte_orders_are_read(tmp_path, order, mark):
    def element(kind, content):
        return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)

    flags, shape = struct.pack(f"{order}II", 6, 0), struct.pack(f"{order}ii", 1, 3)
    numbers = struct.pack(f"{order}3h", 1, -2, 300)
    matrix = element(6, flags) + element(5, shape) + element(1, b"matrix") + element(3, numbers)
    (tmp_path / "x.mat").write_bytes(b"MATLAB".ljust(124) + mark + element(14, matrix))
    assert read_mat(tmp_path / "x.mat", ["matrix"])["matrix"].tolist() == [[1.0, -2.0, 300.0]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("mat") / "x.mat"
    scipy.io.savemat(path, {"a": np.arange(12.0).reshape(3, 4)})
    return path.read_bytes()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, whole, data):
    """SciPy's own reader ends the process on some of these."""
    place = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path_factory.getbasetemp() / "damaged.mat"
    piece, left_out = data.draw(st.binary(min_size=1, max_size=8)), data.draw(st.integers(0, 8))
    path.write_bytes(whole[:place] + piece + whole[place + left_out :])
    with suppress(InputError):
        assert read_mat(path, ["a"]).keys() <= {"a"}


def test_a_bomb_is_not_unpacked(tmp_path, whole, monkeypatch):
    monkeypatch.setattr("hf_noisy_itm.data._mat._MOST", 1000)
    scipy.io.savemat(tmp_path / "x.mat", {"a": np.zeros((50, 50))}, do_compression=True)
    with pytest.raises(InputError, match="would unpack to more than 1,000 bytes"):
        read_mat(tmp_path / "x.mat", ["a"])


def test_small_numbers_that_stand_for_large_ones_and_many_elements_are_no_way_round(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_noisy_itm.data._mat._MOST", 3000)
    scipy.io.savemat(tmp_path / "x.mat", {"a": np.zeros((50, 50), np.int8)}, do_compression=True)
    assert read_mat(tmp_path / "x.mat", ["a"])["a"].shape == (50, 50)
    content = bytearray(_unpacked_element(tmp_path / "x.mat"))
    content[16] = 6  # the class of double
    _pack(tmp_path / "y.mat", tmp_path / "x.mat", bytes(content))
    with pytest.raises(InputError, match="the matrix a would unpack to more than 3,000 bytes"):
        read_mat(tmp_path / "y.mat", ["a"])
    monkeypatch.setattr("hf_noisy_itm.data._mat._MOST_OF_ALL", 6000)
    arrays = {name: np.zeros((50, 50), np.int8) for name in "abc"}
    scipy.io.savemat(tmp_path / "z.mat", arrays, do_compression=True)
    with pytest.raises(InputError, match="save -v6 packs nothing"):
        read_mat(tmp_path / "z.mat", ["a"])


def _unpacked_element(path):
    return zlib.decompress(path.read_bytes()[136:])


def _pack(path, like, content):
    packed = zlib.compress(content)
    path.write_bytes(like.read_bytes()[:128] + struct.pack("<II", 15, len(packed)) + packed)
