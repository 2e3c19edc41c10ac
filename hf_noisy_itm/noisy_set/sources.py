"""A noisy data set of pairs that are all in memory, with their pictures in files."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..data import DataArguments, Pairs, table
from ..data._noise import add_drawn, add_published
from ..data._splits import all_splits, held_out_groups, rows_with
from ..data.load import read_pairs, refuse_bad_rows
from ..data.pedigree import PAIRS, PICTURES, pedigree_of_source
from ..data.shards import id_type_of, pair_features, pair_rows, picture_features, picture_rows
from ..data.stream_noise import REPEATED
from ..data.words import NEAR_BY, embed_by_words, share_no_word
from ..errors import InputError
from ..functional.noise import TEXT_KINDS
from .content import (
    EXAMPLES,
    Part,
    content_of,
    example_of,
    last_part,
    rate_of,
    refuse_labels_alone,
    written_splits,
)
from .embeds import embed_by_model


class PairsSource:
    """All pairs in memory, pictures in their files; for every kind of noise.

    Args:
        args: `NoisySetArguments`.
        data: the source.
    """

    def __init__(self, args, data: DataArguments):
        train, others = all_splits(data)
        refuse_labels_alone(train.column_names, data)
        clean = read_pairs(train, data, "training", data.max_train_pictures, data.train_split)
        names = [data.eval_split] if data.eval_split else list(others)
        found = {name: rows_with(others[name], data.where) for name in names}
        self.held_out = {
            name: read_pairs(rows, data, f"evaluation ({name})", data.max_eval_pictures, name)
            for name, rows in found.items()
            if rows is not None and len(rows)
        }
        everything = [clean, *self.held_out.values()]
        print(table([pairs.report for pairs in everything]))
        refuse_bad_rows(data, *everything)
        for name, pairs in self.held_out.items():
            if pairs.is_noisy.any():
                raise InputError(
                    f"The split {name!r} of {data.dataset} has wrong captions; only clean ones are copied."
                )
        clean = replace(clean, pedigree=pedigree_of_source(data))
        self.args, self.data, self.clean = args, data, clean
        self.noisy = self._with_noise()
        self.id_types = (
            id_type_of(self.noisy.noise_source, *(pairs.name for pairs in everything)),
            id_type_of(*(pairs.caption_name for pairs in everything)),
        )

    def _with_noise(self) -> Pairs:
        args, pairs = self.args, self.clean
        if self.data.noise_file:
            return add_published(pairs, self.data.noise_file, args.kind or "shuffle", args.rate)
        embeds, more = None, {}
        if args.kind == "semantic":
            more = {"near_by": last_part(args.text_model) if args.text_model else NEAR_BY}
            embeds = embed_by_model(pairs, args.text_model) if args.text_model else embed_by_words(pairs.captions)
        if args.kind in TEXT_KINDS and len(np.unique(pairs.caption_id)) < len(pairs):
            raise InputError(REPEATED)
        return add_drawn(pairs, args.kind, args.rate, args.seed or 0, args.keep_none, embeds, args.k or 10, **more)

    def parts(self) -> Iterator[Part]:
        """The noisy training rows, then the other splits."""
        yield Part(PAIRS, "data", "train", pair_features(*self.id_types), pair_rows(self.noisy, *self.id_types))
        for name, written in written_splits(self.held_out).items():
            rows = picture_rows(self.held_out[name], *self.id_types)
            yield Part(PICTURES, PICTURES, written, picture_features(*self.id_types), rows)

    def content(self) -> dict:
        """What `noise.json` says."""
        clean, noisy = self.clean, self.noisy
        wrong = noisy.is_noisy
        per_picture = np.bincount(noisy.image_row, minlength=len(noisy.image_id))
        wrong_per_picture = np.bincount(noisy.image_row[wrong], minlength=len(noisy.image_id))
        own = set(zip(clean.image_row.tolist(), clean.captions))
        right = sum((int(noisy.image_row[i]), noisy.captions[i]) in own for i in np.flatnonzero(wrong).tolist())
        pictures = len(noisy.image_id)
        rates = [
            rate_of("training captions", len(noisy)),
            rate_of("wrong captions", int(wrong.sum()), len(noisy)),
            rate_of("wrong captions with the text of a right one of their picture", right, len(noisy)),
            rate_of("training pictures", pictures),
            rate_of("pictures with a wrong caption", int((wrong_per_picture > 0).sum()), pictures),
            rate_of("pictures with wrong captions only", int((wrong_per_picture == per_picture).sum()), pictures),
        ]
        if self.args.kind == "semantic" and not self.args.text_model:
            moved = np.flatnonzero(noisy.caption_id != clean.caption_id).tolist()
            strange = sum(share_no_word(clean.captions[i], noisy.captions[i]) for i in moved)
            rates.append(rate_of("replaced captions without a word of the new one", strange, len(moved)))
        shown = np.flatnonzero(wrong & (np.array(clean.captions) != np.array(noisy.captions)))[:EXAMPLES].tolist()
        names, sources = noisy.name[noisy.image_row].tolist(), noisy.noise_source.tolist()
        examples = [example_of(names[i], clean.captions[i], noisy.captions[i], sources[i]) for i in shown]
        evaluation = {
            written: {
                "of": name,
                "pictures": len(self.held_out[name].image_id),
                "captions": len(self.held_out[name]),
                "fingerprint": self.held_out[name].fingerprint,
            }
            for name, written in written_splits(self.held_out).items()
        }
        prints = clean.fingerprint, noisy.fingerprint
        return content_of(self, noisy.pedigree, prints, rates, evaluation, examples, self._right_held_out())

    def _right_held_out(self) -> int | None:
        """How many right captions training holds out of the written rows; None if there is another split for that."""
        if self.held_out:
            return None
        held_out = held_out_groups(self.noisy.name[self.noisy.image_row], DataArguments().holdout_every)
        return int((held_out & ~self.noisy.is_noisy).sum())
