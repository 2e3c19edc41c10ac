"""A noise report on one screen."""

import textwrap
from collections.abc import Mapping

_WIDTH = 80  # of a terminal
_HELD = "\u00a0"  # a space at which no line is broken


def told(figures: Mapping) -> str:
    """The figures of `report.json` as lines of text."""
    pairs, estimate, truth = figures["pairs"], figures["estimate"], figures["truth"]
    of = f"{pairs['captions']:,} captions of {pairs['pictures']:,} pictures, scored by {figures['scorer']['model']}"
    lines = [
        *_wrapped(of, ""),
        *_notes(figures),
        _line("wrong, estimated", _share(estimate["rate"]), f"95 % interval {_share(estimate['low'])} to "
              f"{_share(estimate['high'])}"),
        _line("more likely wrong than right", f"{figures['flagged']:,}", "pairs"),
        _line("near-duplicate pictures", f"{figures['duplicates']['pictures']:,}", "couples"),
        _line("captions also of another picture", f"{figures['duplicates']['equal_captions']:,}", "word for word"),
        _line("may fit another's caption", f"{figures['duplicates']['possible_matches']:,}", "pictures"),
    ]  # fmt: skip
    if truth is not None:
        hits = truth["at_rate"]
        lines += ["", _line("wrong, in truth", _share(truth["rate"]), _of_known(truth, pairs))]
        for what, auc in (("all", truth["auc"]), *((name, each["auc"]) for name, each in truth["kinds"].items())):
            signals = [f"{name} {value:.3f}".replace(" ", _HELD) for name, value in auc.items() if name != "combined"]
            each = [line.replace(_HELD, " ") for line in _wrapped(", ".join(signals), "      ")]
            lines += [_line(f"AUC, {what}"[:34], f"{auc['combined']:.3f}", ""), *each]
        lines += [
            _line("precision at the estimated rate", _share(hits["precision"]), ""),
            _line("recall at the estimated rate", _share(hits["recall"]), ""),
            _line("probabilities are off by", _share(truth["calibration"]["expected_error"]), "on average"),
        ]
    return "\n".join(lines)


def told_first(figures: Mapping) -> str:
    """What must be known before data are made of a report: its doubts and the share, as lines of text."""
    estimate = figures["estimate"]
    share = f"Estimated to be wrong: {_share(estimate['rate'])}, more likely wrong than right {figures['flagged']:,}."
    return "\n".join([*_notes(figures), share])


def _of_known(truth: Mapping, pairs: Mapping) -> str:
    return f"of {truth['pairs']:,} that are known" if truth["pairs"] < pairs["captions"] else ""


def _notes(figures: Mapping) -> list[str]:
    return [line for doubt in figures["doubts"] for line in _wrapped(f"note: {doubt}", "")]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent or "  ")


def _line(what: str, value: str, more: str) -> str:
    return f"  {what:34} {value:>9}  {more}".rstrip()


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
