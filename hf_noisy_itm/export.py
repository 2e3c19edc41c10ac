"""From a checkpoint in one format to one in another: `recipes/convert.py`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPProcessor

from .convert import from_openai, to_openai
from .errors import InputError, last_line
from .files import atomic_folder, write_json
from .loading import NOTHING, load_model, load_weights
from .openai_file import read_openai
from .parser import Parser, first_word, in_one_process

_FORMATS = ("clip", "openai", "sentence_transformers")
_FILES = (".pt", ".pth", ".bin", ".safetensors")
_OPENAI_WORDS = 49408
_OPENAI_PROCESSOR = "openai/clip-vit-base-patch32"
_MODULE = "0_CLIPModel"  # as in the folders of CLIPs that sentence-transformers published


@dataclass(frozen=True)
class ConvertArguments:
    """Into which format, and where to."""

    output: str = field(default="", metadata={"help": "Folder to make; it must not be there."})
    to: str = field(
        default="clip",
        metadata={"help": "clip (transformers' folder), openai (one .safetensors) or sentence_transformers."},
    )
    processor: str | None = field(
        default=None,
        metadata={
            "help": "Of a file in OpenAI's format, which has none: where its tokenizer is, a folder or a name on the "
            "Hub; 'none' leaves it out, as `--to openai` does. OpenAI's own if unset and there are as many words as "
            "that has."
        },
    )

    def __post_init__(self):
        if not self.output:
            raise InputError("Say where to: --output DIR.")
        if self.to not in _FORMATS:
            raise InputError(f"There is no format {self.to!r}; there are {', '.join(_FORMATS)}.")


def parse_convert(words: Sequence[str]) -> tuple[str, ConvertArguments]:
    """Parses `SOURCE --output DIR [--field value …]`.

    Raises:
        InputError: there is no source or no such field, or a value of the wrong kind.
    """
    in_one_process("A model is converted")
    source, rest = first_word(words, "Name what to convert first: recipes/convert.py SOURCE --output DIR.")
    values = Parser((ConvertArguments,), allow_abbrev=False).values_of(rest)
    return source, ConvertArguments(**{each.name: values[each.name] for each in fields(ConvertArguments)})


def convert(source: str, args: ConvertArguments) -> Path:
    """Converts; the folder is there when it is whole.

    Args:
        source: a file in OpenAI's format, or a model as `load_model` knows it, of any method.
        args: where to.

    Returns:
        The folder.

    Raises:
        InputError: the source is of another format or damaged, or the folder is there or cannot be made.
    """
    output = Path(args.output)
    if output.exists():
        raise InputError(f"{output} is there already: name another --output.")
    model, processor = _read(source, args)
    try:
        with atomic_folder(output) as folder:
            _WRITERS[args.to](model, processor, folder)
    except OSError as error:
        raise InputError(f"{output} cannot be made: {error}; name another --output.") from error
    return output


def _read(source: str, args: ConvertArguments) -> tuple[CLIPModel, CLIPProcessor | None]:
    alone = args.to == "openai"  # which has no place for a processor
    if source.lower().endswith(_FILES) and not Path(source).is_dir():
        config, state = from_openai(read_openai(source))
        model = CLIPModel(config).eval()
        model.load_state_dict(state)
        return model, None if alone else _processor(source, config, args.processor)
    if args.processor is not None:
        raise InputError("--processor is for a file in OpenAI's format; a model's folder has its own.")
    model, processor = (load_weights(source), None) if alone else load_model(source)
    if not model.embeds_by_clip_alone:
        raise InputError(f"{source} embeds by more than its CLIP, which no other format can hold.")
    return model.clip, processor


def _processor(source: str, config: CLIPConfig, name: str | None) -> CLIPProcessor | None:
    """The processor of this name, or OpenAI's, made to fit the model of a file; None for "none"."""
    words = config.text_config.vocab_size
    if name is None and words != _OPENAI_WORDS:
        raise InputError(
            f"{source} has {words} words, and OpenAI's tokenizer {_OPENAI_WORDS}: say with --processor where its "
            f"tokenizer is, or --processor none."
        )
    if name == NOTHING:
        return None
    size = config.vision_config.image_size
    try:
        found = CLIPProcessor.from_pretrained(name or _OPENAI_PROCESSOR, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"The processor {name or _OPENAI_PROCESSOR} cannot be loaded: {last_line(error)}; name a folder with "
            f"--processor, or none."
        ) from error
    found.image_processor.size = {"shortest_edge": size}
    found.image_processor.crop_size = {"height": size, "width": size}
    if len(found.tokenizer) != words:
        raise InputError(f"The tokenizer has {len(found.tokenizer)} words, and {source} {words}: name its own.")
    return found


def _write_clip(model: CLIPModel, processor: CLIPProcessor | None, folder: Path) -> None:
    model.config = CLIPModel.config_class.from_dict(_plain(model.config.to_dict()))
    model.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)


def _plain(config: dict) -> dict:
    """A config with CLIP's own fields alone."""
    known = CLIPModel.config_class()
    return {name: value for name, value in config.items() if hasattr(known, name)} | {"model_type": "clip"}


def _write_openai(model: CLIPModel, processor: CLIPProcessor | None, folder: Path) -> None:
    save_file(to_openai(model.config, model.state_dict()), folder / "clip.safetensors")


def _write_sentence_transformers(model: CLIPModel, processor: CLIPProcessor | None, folder: Path) -> None:
    """As its CLIPs lie on the Hub: one module, which embeds pictures and sentences; cosines compare them."""
    if processor is None:
        raise InputError("sentence-transformers needs a tokenizer: say with --processor where it is.")
    (folder / _MODULE).mkdir()
    _write_clip(model, processor, folder / _MODULE)
    module = {"idx": 0, "name": "0", "path": _MODULE, "type": "sentence_transformers.models.CLIPModel"}
    write_json(folder / "modules.json", [module])
    write_json(folder / "config_sentence_transformers.json", {"similarity_fn_name": "cosine"})


_WRITERS = {"clip": _write_clip, "openai": _write_openai, "sentence_transformers": _write_sentence_transformers}
