import json
import os
import stat

import pytest

from hf_noisy_itm.files import atomic_folder, atomic_path, sha256_of_file, write_json


def test_the_file_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "a" / "b" / "result.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert (temporary.parent, temporary.suffix) == (path.parent, ".txt")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path, existed, error):
    path = tmp_path / "result.txt"
    if existed:
        path.write_text("old")

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    pytest.raises(error, fail)
    assert [file.read_text() for file in tmp_path.iterdir()] == (["old"] if existed else [])


def test_the_file_has_the_rights_of_any_other_new_file(tmp_path):
    old = os.umask(0o027)
    try:
        write_json(tmp_path / "ours.json", {})
        (tmp_path / "other.json").touch()
    finally:
        os.umask(old)
    rights = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours.json", "other.json")]
    assert rights == [0o640, 0o640]


def test_json_is_readable_for_people_and_programs(tmp_path):
    content = {"model": "CLIP", "words": ["café", "犬"], "recall": 12.5}
    write_json(tmp_path / "new" / "metrics.json", content)
    text = (tmp_path / "new" / "metrics.json").read_text(encoding="utf-8")
    assert json.loads(text) == content
    assert "café" in text
    assert text.splitlines()[1] == '  "model": "CLIP",'


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "metrics.json", {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(tmp_path / "metrics.json", {"a": object()})
    assert [json.loads(file.read_text()) for file in tmp_path.iterdir()] == [{"a": 1}]


def test_a_folder_has_its_name_only_when_it_is_whole(tmp_path):
    with atomic_folder(tmp_path / "a" / "set") as temporary:
        (temporary / "file").write_text("whole")
        assert not (tmp_path / "a" / "set").exists()
        assert temporary.parent == tmp_path / "a"
    assert (tmp_path / "a" / "set" / "file").read_text() == "whole"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["set"]


def test_a_folder_that_is_there_is_replaced_only_if_so_asked(tmp_path):
    for text, replace in (("old", False), ("new", True)):
        with atomic_folder(tmp_path / "set", replace) as temporary:
            (temporary / text).write_text(text)
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["new"]
    with pytest.raises(OSError), atomic_folder(tmp_path / "set"):  # noqa: PT011
        pass
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "set", replace=True):  # noqa: PT012
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "new"]


def test_the_hash_of_a_file_is_that_of_its_content(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "file").startswith("ba7816bf8f01cfea")  # FIPS 180-2, B.1
