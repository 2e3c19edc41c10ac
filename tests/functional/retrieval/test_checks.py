import numpy as np
import pytest
import torch

from hf_noisy_itm.functional.retrieval._checks import integers

SIGNED = [np.int8, np.int16, np.int32, np.int64]


@pytest.mark.parametrize("dtype", [*SIGNED, np.uint8, np.uint16, np.uint32, np.uint64, ">i4", ">u8"])
@pytest.mark.parametrize("kind", ["array", "reversed array", "tensor", "list", "list of tensors", "objects"])
def test_integers_of_any_type_become_int64(dtype, kind):
    array = np.array([[3, 0], [100, 7]], dtype=dtype)
    if kind == "array":
        values = array
    elif kind == "reversed array":
        array = array[::-1]
        values = array
    elif kind == "tensor":
        array = array.astype(array.dtype.newbyteorder("="))
        values = torch.from_numpy(array)
    else:
        array = array.ravel()
        values = list(array) if kind == "list" else [torch.tensor(int(value)) for value in array]
        values = np.array(array.tolist(), dtype=object) if kind == "objects" else values
    result = integers(values, "ids")
    assert result.dtype == torch.int64
    assert result.tolist() == array.tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "integers in a tensor, array or list, got None"),
        ({1: 2}, r"integers in a tensor, array or list, got \{1: 2\}"),
        ({1, 2}, r"integers in a tensor, array or list, got \{1, 2\}"),
        (object(), "got <object object"),
        ("12", "got '12'"),
        (iter([1]), "got <list_iterator"),
        (["12"], "got '12' for one"),
        ([1, None], "got None for one"),
        ([1, True], "got True for one"),
        ([1, np.True_], "got np.True_ for one"),
        ([1, torch.tensor(True)], r"got tensor\(True\) for one"),
        ([1, torch.tensor(1.5)], r"got tensor\(1.5000\) for one"),
        ([1, torch.tensor([1, 2])], r"got tensor\(\[1, 2\]\) for one"),
        ([[1], [2, 3]], r"got \[1\] for one"),
        ([1.0], "got 1.0 for one"),
        ([2**70], f"at most 64 bits, got {2**70}"),
        ([-(2**63) - 1], "at most 64 bits"),
        (np.array([1, 2**63], dtype=np.uint64), f"at most {2**63 - 1}, got {2**63}"),
        (torch.tensor([1, 2**63], dtype=torch.uint64), f"at most {2**63 - 1}, got {2**63}"),
        (torch.tensor([True]), "got torch.bool, True for one"),
        (torch.tensor([0.5]), "got torch.float32, 0.5 for one"),
        (torch.tensor([]), r"got torch.float32\."),
        (torch.tensor([1j]), "got torch.complex64"),
        (np.array([1.0, np.nan]), "got np.float64.* for one"),
        (np.array(["a"]), "got np.str_.* for one"),
        (np.array([True]), "got np.True_ for one"),
        (torch.tensor([1]).to_sparse(), "a dense tensor"),
    ],
)
def test_what_is_no_integer_is_named(values, message):
    with pytest.raises(ValueError, match=f"ds must be .*{message}"):
        integers(values, "ids")
