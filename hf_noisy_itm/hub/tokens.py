"""No token of the Hub stands in what is written, printed or published."""

import re
from collections.abc import Sequence

from huggingface_hub import get_token

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}|(?<=Bearer )\S+")


def without_tokens(words: Sequence[str]) -> list[str]:
    """A command line that may be shown: what follows an option that ends in `_token` is masked."""
    told = []
    for place, word in enumerate(words):
        option, sign, _ = word.partition("=")
        if place and words[place - 1].startswith("--") and words[place - 1].endswith("_token"):
            word = "<TOKEN>"
        elif sign and option.endswith("_token"):
            word = f"{option}=<TOKEN>"
        told.append(mask_tokens(word))
    return told


def mask_tokens(text: str) -> str:
    """A text in which tokens of the Hub do not stand any more."""
    text = _TOKEN.sub("<TOKEN>", text)
    token = get_token()
    return text.replace(token, "<TOKEN>") if token else text
