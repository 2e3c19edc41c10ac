import os

import pytest

from hf_noisy_itm.data._paths import REFUSED, PictureFolder, hash_files, refused_path

from .local_copies import write


@pytest.fixture
def folder(tmp_path):
    """A folder with links that stay inside, lead out, or go round; there is a link to it, too."""
    root = tmp_path / "root"
    write(root / "below" / "a.png", b"a")
    write(tmp_path / "beside" / "b.png", b"b")
    (root / "inner.png").symlink_to("below/a.png")
    (root / "outer.png").symlink_to(tmp_path / "beside" / "b.png")
    (root / "outer").symlink_to(tmp_path / "beside")
    (root / "round").symlink_to("round")
    (tmp_path / "link").symlink_to(root)
    return root


INSIDE = {
    "below/a.png": "below/a.png",
    "./below/../below/a.png": "below/a.png",
    "inner.png": "below/a.png",
    "not there.png": "not there.png",
    "new/not there.png": "new/not there.png",
    "https://a.b/c.png": "https:/a.b/c.png",  # a file name like any other: nothing is fetched
    "~/a.png": "~/a.png",
}
OUTSIDE = ["..", "../root2/a.png", "below/../../beside/b.png", "/etc/passwd", "outer.png", "outer/b.png", "a\0b.png"]


@pytest.mark.parametrize("root", ["root", "link"])
@pytest.mark.parametrize("written", INSIDE)
def test_a_path_inside_is_made_absolute(folder, root, written):
    cell = PictureFolder(folder.parent / root).cell(written)
    assert cell == {"bytes": None, "path": os.path.join(folder, INSIDE[written])}


@pytest.mark.parametrize("written", [*OUTSIDE, "round/a.png", "below/.."])
def test_a_path_outside_is_refused_and_told(folder, written):
    cell = PictureFolder(folder).cell(written)
    if written == "below/..":  # the folder itself: inside, and no picture
        assert cell == {"bytes": None, "path": str(folder)}
        return
    assert cell["path"] is None
    assert refused_path(cell["bytes"]) == written


def test_an_absolute_path_inside_is_fine_and_nothing_is_none(folder):
    own = PictureFolder(folder)
    assert own.cell(str(folder / "below" / "a.png"))["bytes"] is None
    assert own.cell("") is own.cell(None) is None


def test_bytes_of_a_picture_are_no_refusal():
    assert refused_path(b"\x89PNG") is None
    assert refused_path(b"") is None
    assert refused_path(REFUSED) == ""


def test_the_hash_is_of_names_and_contents(tmp_path):
    one, two = write(tmp_path / "one", "a"), write(tmp_path / "two", "a")
    hashes = [hash_files([one]), hash_files([two]), hash_files([one, two]), hash_files([one], "more")]
    write(one, "b")
    assert len({*hashes, hash_files([one])}) == 5
    write(one, "a")
    assert hash_files([one]) == hashes[0]
