"""No token stands in what is written, printed or published, and no path of this disk in what is published."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import get_token

_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:hf_[A-Za-z0-9]{20,}|(?:hf_oauth|hf_jwt|api_org)_[\w.~+/=-]{8,})"
    r"|(?<![A-Za-z0-9])(?:glpat-|gh[pousr]_|sk-|AKIA)[\w-]{16,}"
    r"|(?<=Bearer )\S+"
    r"|(?<=://)[^\s/@]+(?=@)"  # name and password before a host
    r"|(?i:(?<=[?&])(?P<name>[\w-]*(?:token|secret|password|key|signature))=[^\s&#]+)"
)
_SECRET = re.compile(r"(?i)(^token|(hub|hf|access|api|auth)_?token|secret|password|api_?key)$")  # not pad_token
_PATH = re.compile(r"(?<![\w/.<~*)\]}])~?(?:/[^\s/,;:'\"|<>()]+)+/?|(?<!\w)[A-Za-z]:\\(?:[^\s\\/,;'\"|<>]+\\?)+")


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
    """A text in which no token or password stands any more."""
    text = _TOKEN.sub(lambda found: f"{found['name']}=<TOKEN>" if found["name"] else "<TOKEN>", text)
    token = get_token()
    return text.replace(token, "<TOKEN>") if token else text


def for_others(content: Any) -> Any:
    """Words and figures without tokens, and of paths the last part alone, for the rest is nobody's business."""
    if isinstance(content, dict):
        return {for_others(key): _of_field(key, value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        words = without_tokens(content) if all(isinstance(each, str) for each in content) else content
        return [for_others(value) for value in words]
    if not isinstance(content, str):
        return content
    option, sign, value = content.partition("=") if content.startswith("--") else ("", "", content)
    if value.startswith("~") or Path(value).is_absolute():  # with spaces in it, perhaps
        value = Path(value).name
    value = _PATH.sub(lambda found: re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], value.replace("file://", ""))
    return mask_tokens(option + sign + value)


def _of_field(name: Any, value: Any) -> Any:
    return "<TOKEN>" if value and isinstance(value, str) and _SECRET.search(str(name)) else for_others(value)
