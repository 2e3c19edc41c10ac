"""What SECURITY.md promises: nothing out of a file is run, nothing leaves its folder, nothing grows without bound."""

import ast
import gzip
import io
import json
import os
import pickle  # noqa: TID251 (writes what readers must not run)
import tarfile
import zipfile
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image, PngImagePlugin
from pyarrow import parquet

from hf_noisy_itm import InputError, load_pairs
from hf_noisy_itm.concepts.knowledge import read_knowledge
from hf_noisy_itm.data import DataArguments, load_stream
from hf_noisy_itm.data._paths import REFUSED, PictureFolder
from hf_noisy_itm.data._pictures import decode
from hf_noisy_itm.data._stream_rows import cells_of

from ..measuring import BENCHMARKS, ROOT

SOURCES = [
    path for folder in ("hf_noisy_itm", "recipes", "hub_cards") for path in sorted((ROOT / folder).rglob("*.py"))
]
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads", "yaml.load",
    "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "marshal.loads", "joblib.load", "pandas.read_pickle",
    "pd.read_pickle", "tempfile.mktemp", "shutil.unpack_archive",
}  # fmt: skip
FORBIDDEN_METHODS = {"extractall", "extract"}  # of archives: their names may lead anywhere
FORBIDDEN_KEYWORDS = {"shell": True, "trust_remote_code": True, "allow_pickle": True, "weights_only": False}
FORBIDDEN_IMPORTS = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
ASKED_FOR = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
WRITES_HOSTILE_FILES = "_fuzz_wholes.py"


def offences(source):
    """What a module does that must not be done to somebody else's file, by line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"{node.lineno}: imports {name}" for name in names if name.split(".")[0] in FORBIDDEN_IMPORTS)
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {each.arg: getattr(each.value, "value", ...) for each in node.keywords}
        if name in FORBIDDEN_CALLS or (isinstance(node.func, ast.Attribute) and node.func.attr in FORBIDDEN_METHODS):
            yield f"{node.lineno}: calls {name}"
        yield from (
            f"{node.lineno}: {name} with {word}={value}"
            for word, value in FORBIDDEN_KEYWORDS.items()
            if given.get(word, not value) is value
        )
        if name in ASKED_FOR and given.get(ASKED_FOR[name][0]) is not ASKED_FOR[name][1]:
            yield f"{node.lineno}: {name} without {ASKED_FOR[name][0]}={ASKED_FOR[name][1]}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_or_run(path):
    found = list(offences(path.read_text(encoding="utf-8")))
    assert not found or path.name == WRITES_HOSTILE_FILES, found


@pytest.mark.parametrize(
    "line",
    [
        "eval(x)", "import pickle", "from dill import loads", "torch.load(x)", "torch.load(x, weights_only=False)",
        "np.load(x)", "np.load(x, allow_pickle=True)", "yaml.load(x, Loader)", "subprocess.run(x, shell=True)",
        "AutoModel.from_pretrained(x, trust_remote_code=True)", "archive.extractall()", "os.system(x)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(line):
    assert list(offences(line))


class Program:
    """Unpickled, it makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("canary",)


def _zip_of(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("archive/data.pkl", "data.pkl", "image_embeds.npy", "../canary"):
            archive.writestr(name, content)
    return file.getvalue()


def _npy_of(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _torch_of(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


PAYLOADS = {
    "pickle": pickle.dumps(Program(), 4),
    "old pickle": pickle.dumps(Program(), 0),
    "npy": _npy_of(np.array(Program(), dtype=object)),
    "npy of a dictionary": _npy_of(np.array({"a": Program()}, dtype=object)),
    "torch": _torch_of({"a": Program()}),
    "zip": _zip_of(pickle.dumps(Program(), 4)),
    "YAML": b"method: !!python/object/apply:os.mkdir [canary]\n",
    "YAML, new": b"!!python/object/new:os.mkdir [canary]\n",
    "text": b"__import__('os').mkdir('canary')\n",
    "header": b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': __import__('os').mkdir('canary'), 'shape': ()}".ljust(117)
    + b"\n",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(canary) (w) file closefile\nshowpage\n",
}


def test_the_programs_run_if_they_are_let(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(PAYLOADS["pickle"])
    assert (tmp_path / "canary").is_dir()


def test_no_reader_runs_a_program(tmp_path, monkeypatch):
    """Every format of the fuzzing, every program; what is refused is refused in a sentence."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from _fuzz_formats import formats

    (tmp_path / "formats").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name, form in formats(tmp_path / "formats").items():
        slow = name.startswith("pairs") and not name.endswith(("parquet", "tar"))  # all three are text
        for payload in ("pickle", "text", "zip") if slow else PAYLOADS:
            content = PAYLOADS[payload]
            folder = (
                tmp_path / "formats" if name.startswith("picture") else tmp_path / f"{name}-{payload}".replace(" ", "")
            )
            folder.mkdir(exist_ok=True)
            (folder / form.name).write_bytes(gzip.compress(content) if form.sums == "gz" else content)
            try:
                form.read(folder / form.name)
            except form.refuses:
                pass
            assert not list(tmp_path.rglob("canary")), (name, payload)


def _picture(**options):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG", **options)
    return file.getvalue()


def test_names_in_an_archive_lead_nowhere(tmp_path):
    folder = tmp_path / "deep" / "deeper"
    folder.mkdir(parents=True)
    with tarfile.open(folder / "x.tar", "w") as archive:
        for row in range(6):
            for suffix, content in (("png", _picture()), ("txt", f"a red square {row}".encode())):
                member = tarfile.TarInfo(f"../../out/{row}.{suffix}" if row % 2 else f"/{tmp_path}/out/{row}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with suppress(InputError):
        load_pairs(DataArguments(str(folder / "x.tar"), holdout_every=3, on_bad_row="skip"))[0].picture(0)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "deeper", "x.tar"]


def test_paths_of_pictures_stay_in_their_folder(tmp_path):
    (tmp_path / "secret.png").write_bytes(_picture())
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    names = ["../secret.png", str(tmp_path / "secret.png"), "link.png", "x/../../secret.png"]
    rows = [{"image": name, "caption": f"a {row}"} for row, name in enumerate(names)]
    (folder / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match="There are 2 row.* leaves its folder among the training rows"):
        load_pairs(DataArguments(str(folder / "x.jsonl"), holdout_every=2))


@pytest.mark.parametrize("file", ["x.jsonl", "x.parquet"])
@pytest.mark.parametrize("inner", [("path",), ("bytes", "path")], ids=len)
def test_paths_in_structs_stay_in_their_folder_too(tmp_path, file, inner):
    (tmp_path / "secret.png").write_bytes(_picture())
    folder = tmp_path / "data"
    folder.mkdir()
    cell = dict.fromkeys(inner) | {"path": str(tmp_path / "secret.png")}
    rows = [{"image": cell, "caption": f"a {row}"} for row in range(4)]
    if file.endswith(".jsonl"):
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        parquet.write_table(pa.Table.from_pylist(rows), folder / file)
    for root in (None, str(folder)):
        with pytest.raises(InputError, match="There are 2 row.* leaves its folder among the training rows"):
            load_pairs(DataArguments(str(folder / file), holdout_every=2, image_root=root))


@pytest.mark.parametrize(
    "path", ["../x/*.parquet", "a/../../x.parquet", "/x.parquet", "http://x/y.parquet", "file:///x"]
)
@pytest.mark.parametrize("place", ["README.md", ".huggingface.yaml", "state.json", "train/state.json"])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_data_folder_names_no_rows_elsewhere(tmp_path, path, place, streaming):
    pairs = [{"image": {"bytes": _picture(), "path": None}, "caption": f"a {row}"} for row in range(4)]
    parquet.write_table(pa.Table.from_pylist(pairs), tmp_path / "train.parquet")
    (tmp_path / place).parent.mkdir(exist_ok=True)
    configs = {"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": path}]}]}
    told = json.dumps({"_data_files": [{"filename": f"../{path}" if ".." in path else path}]})
    text = {"README.md": f"---\n{json.dumps(configs)}\n---\n", ".huggingface.yaml": json.dumps(configs)}
    (tmp_path / place).write_text(text.get(place, told))
    if place.startswith("train"):
        (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    args = DataArguments(str(tmp_path), holdout_every=2, streaming=streaming)
    with pytest.raises(InputError, match=rf"{place} says that rows lie at .*, outside of its folder"):
        load_stream(args, 0) if streaming else load_pairs(args)


def test_splits_are_folders_of_their_own_folder(tmp_path):
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "../other"]}')
    with pytest.raises(InputError, match="says that rows lie at '../other', outside"):
        load_pairs(DataArguments(str(tmp_path)))


@pytest.mark.parametrize(
    ("yaml", "why"),
    [
        ("a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefg", "bcdefgh")
        ), "aliases stand for more than"),
        ("x: !!python/object/apply:os.system [true]", "could not determine a constructor"),
    ],
    ids=["laughs", "program"],
)  # fmt: skip
def test_the_card_of_a_data_folder_is_read_as_all_yaml_is(tmp_path, yaml, why):
    (tmp_path / "README.md").write_text(f"---\n{yaml}\n---\n# Data\n")
    with pytest.raises(InputError, match=rf"The YAML of .*README.md cannot be read: .*{why}"):
        load_pairs(DataArguments(str(tmp_path)))


@pytest.mark.parametrize("address", ["file://{}", "zip://a.png::{}", "simplecache::file://{}", "local://{}"])
def test_addresses_in_a_stream_lead_to_no_local_file(tmp_path, address):
    (tmp_path / "secret.png").write_bytes(_picture())
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.png", _picture())
    cell = address.format(tmp_path / ("x.zip" if "zip" in address else "secret.png"))
    row = {"image": {"bytes": None, "path": cell}, "caption": "a"}
    for folder in (None, PictureFolder(tmp_path / "data")):
        image = cells_of(row, DataArguments("x"), folder).image
        assert image["bytes"] is None or image["bytes"].startswith(REFUSED)
        assert image["path"] is None or not os.path.exists(image["path"])


def test_a_line_without_an_end_is_not_read_to_its_end(tmp_path):
    with gzip.open(tmp_path / "x.csv.gz", "wb", 1) as file:
        for _ in range(64):
            file.write(bytes(2**20))
    with pytest.raises(InputError, match=r"Line 1 of .* has 65,536 characters or more"):
        read_knowledge(tmp_path / "x.csv.gz", ["cat", "dog"])


def test_packed_pictures_are_bounded(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    file = io.BytesIO()
    Image.new("1", (100, 100)).save(file, "PNG")
    with pytest.raises(ValueError, match="may be a decompression bomb"):
        decode(file.getvalue())


def test_packed_texts_of_pictures_are_bounded():
    more = PngImagePlugin.PngInfo()
    more.add_text("comment", "x" * 2**26, zip=True)
    with pytest.raises(ValueError, match="too large"):
        decode(_picture(pnginfo=more))
