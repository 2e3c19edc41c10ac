"""`wikipedia`: features and categories of 2,866 Wikipedia articles, from your own copy; there are no pictures in it.

    from hf_noisy_itm.data.wikipedia import Wikipedia

    builder = Wikipedia(data_dir="wikipedia", config_name="paper")

Rasiwasia et al., A New Approach to Cross-Modal Multimedia Retrieval, ACM Multimedia 2010; published for research by
its authors. `--data_dir` holds their files raw_features.mat, categories.list, trainset_txt_img_cat.list and
testset_txt_img_cat.list.

Columns: `image_features` (128 shares of visual words, from SIFT), `text_features` (10 shares of topics, from LDA),
`label` (ten categories), `text_id` and `image_id` as in the lists. The configs:

    original   train 2,173, test 693
    paper      train 2,173, validation 231, test 462: the sizes of MRL (CVPR 2021); the first rows of the 693 validate,
               which rows the paper took it does not say
"""

from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np

from ..errors import InputError
from ._local import LocalBuilder, LocalConfig
from ._mat import read_mat

_VERSION = datasets.Version("1.0.0")  # of the rows: raise it when the code makes others of the same files
_FEATURES, _CATEGORIES = "raw_features.mat", "categories.list"
_LISTS = {"tr": "trainset_txt_img_cat.list", "te": "testset_txt_img_cat.list"}
_VALIDATION_PART = 3  # the config "paper" validates on the first third of the test rows: 231 of 693
_WIDTHS = {"image_features": 128, "text_features": 10}


class Wikipedia(LocalBuilder):
    """The Wikipedia cross-modal set as features; see the module's text."""

    VERSION = _VERSION
    BUILDER_CONFIGS = [LocalConfig(name=name, version=_VERSION) for name in ("original", "paper")]
    DEFAULT_CONFIG_NAME = "original"

    @classmethod
    def input_files(cls, root: Path) -> list[Path]:  # noqa: D102
        files = [root / name for name in (_FEATURES, _CATEGORIES, *_LISTS.values())]
        if missing := [file.name for file in files if not file.is_file()]:
            raise InputError(f"{root} lacks {', '.join(missing)} of the Wikipedia set; give its folder as --data_dir.")
        return files

    def _info(self) -> datasets.DatasetInfo:
        features = {name: datasets.List(datasets.Value("float32"), length=width) for name, width in _WIDTHS.items()}
        features["label"] = datasets.ClassLabel(
            names=(self.root / _CATEGORIES).read_text(encoding="utf-8-sig").split()
        )
        features |= {"text_id": datasets.Value("string"), "image_id": datasets.Value("string")}
        return datasets.DatasetInfo(description=__doc__, features=datasets.Features(features))

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        arrays = read_mat(self.root / _FEATURES, [f"{modality}_{part}" for modality in "IT" for part in _LISTS])
        train, test = (self._part(part, arrays) for part in _LISTS)
        middle = len(test[0]) // _VALIDATION_PART if self.config.name == "paper" else 0
        bounds = {"train": (train, 0, None), "validation": (test, 0, middle), "test": (test, middle, None)}
        return [
            datasets.SplitGenerator(split, gen_kwargs={"arrays": tuple(array[start:stop] for array in source)})
            for split, (source, start, stop) in bounds.items()
            if stop != 0
        ]

    def _part(self, part: str, arrays: dict) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
        """Image features, text features and the list's fields of "tr" or "te", checked against each other."""
        file = self.root / _LISTS[part]
        fields = [line.split("\t") for line in file.read_text(encoding="utf-8-sig").splitlines()]
        categories = {str(label) for label in range(1, self.info.features["label"].num_classes + 1)}
        if any(len(each) != 3 or each[2] not in categories for each in fields):
            raise InputError(f"The lines of {file} do not hold a text id, an image id and a category.")
        features = [arrays.get(f"{modality}_{part}", np.empty(0)) for modality in "IT"]
        for array, width in zip(features, _WIDTHS.values()):
            if array.dtype.kind not in "fiu":
                raise InputError(f"{_FEATURES} holds features of type {array.dtype}, which are no real numbers.")
            if array.shape != (len(fields), width):
                raise InputError(
                    f"{_FEATURES} holds features of shape {array.shape} where {file.name} asks for "
                    f"({len(fields)}, {width})."
                )
        return (*features, fields)

    def rows(self, arrays: tuple) -> Iterator[dict]:  # noqa: D102
        for image, text, (text_id, image_id, category) in zip(*arrays):
            yield {
                "image_features": image.astype(np.float32),
                "text_features": text.astype(np.float32),
                "label": int(category) - 1,  # the lists count from 1
                "text_id": text_id,
                "image_id": image_id,
            }
