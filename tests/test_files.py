import json
import os
import stat

import pytest

from hf_noisy_itm import files
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


@pytest.mark.parametrize("at_once", [True, False])
def test_an_old_folder_stays_when_the_new_one_cannot_take_its_name(tmp_path, monkeypatch, at_once):
    """Without `renameat2` there are two renames, of which the second fails here."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "old").touch()
    if not at_once:
        monkeypatch.setattr(files, "_exchange", lambda *names: False)
    whole, seen = os.replace, []

    def replace(old, new):
        seen.append((tmp_path / "set").exists())
        if len(seen) == 2:
            raise OSError(28, "No space left on device")
        whole(old, new)

    monkeypatch.setattr(os, "replace", replace)
    if at_once:
        with atomic_folder(tmp_path / "set", replace=True) as temporary:
            (temporary / "new").touch()
        assert seen == []  # one step, in which there is always one of the two
    else:
        with pytest.raises(OSError, match="No space"), atomic_folder(tmp_path / "set", replace=True) as temporary:
            (temporary / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["set", "new" if at_once else "old"]


def test_two_folders_change_places_in_two_steps_where_one_is_not_possible(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda *names: False)
    test_a_folder_that_is_there_is_replaced_only_if_so_asked(tmp_path)


def test_what_a_killed_process_left_is_removed_but_not_what_another_makes(tmp_path):
    for name in (".set.abcdefgh.unfinished", ".set.abcdefgh", ".other.abcdefgh.unfinished"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    with atomic_folder(tmp_path / "set", replace=True) as first, atomic_folder(tmp_path / "set") as second:
        assert first.is_dir()
        assert second.is_dir()
        (first / "1").touch()
        (second / "2").touch()
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {".set.abcdefgh", ".other.abcdefgh.unfinished", first.name, second.name}
    assert {path.name for path in tmp_path.iterdir()} == {"set", ".set.abcdefgh", ".other.abcdefgh.unfinished"}


def test_a_link_to_a_folder_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "far")
    for name in ("one", "two"):
        with atomic_folder(tmp_path / "link", replace=True) as temporary:
            (temporary / name).touch()
        assert [path.name for path in (tmp_path / "far").iterdir()] == [name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far", "link"]


def test_the_hash_of_a_file_is_that_of_its_content(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "file").startswith("ba7816bf8f01cfea")  # FIPS 180-2, B.1
