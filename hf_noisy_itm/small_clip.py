"""A small CLIP from nothing: tokenizer and architecture for people, pictures and languages that CLIP does not know."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPConfig, CLIPProcessor, CLIPTokenizer
from transformers.models.clip import CLIPImageProcessorPil

from .errors import InputError

_WORD_END = "</w>"


@dataclass
class SmallCLIPArguments:
    """Shape of a small CLIP; the defaults have 0.9 million parameters."""

    image_size: int = field(default=48, metadata={"help": "Pixels of the square picture."})
    patch_size: int = field(default=8, metadata={"help": "Pixels of a patch; divides image_size."})
    width: int = field(default=96, metadata={"help": "Of both towers and of the embeddings; a multiple of 32."})
    image_layers: int = field(default=5, metadata={"help": "Transformer layers of the image tower."})
    text_layers: int = field(default=3, metadata={"help": "Transformer layers of the text tower."})
    vocab_size: int = field(default=1024, metadata={"help": "At most so many tokens; 514 spell any text."})
    context_length: int = field(default=32, metadata={"help": "Longest caption in tokens."})

    def __post_init__(self):
        for name, least in (("image_layers", 1), ("text_layers", 1), ("vocab_size", 514), ("context_length", 4)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if self.width < 32 or self.width % 32:
            raise InputError(f"width must be a multiple of 32, got {self.width}.")
        if self.patch_size < 1 or self.image_size < 1 or self.image_size % self.patch_size:
            raise InputError(f"patch_size must divide image_size, got {self.patch_size} and {self.image_size}.")


def train_tokenizer(captions: Iterable[str], vocab_size: int, context_length: int) -> CLIPTokenizer:
    """Learns a byte-level BPE of CLIP's kind (lower case, word ends marked) that can spell any text.

    Args:
        captions: what to learn merges from.
        vocab_size: at most so many tokens, at least 514: two marks, 256 bytes, and 256 bytes at a word's end.
        context_length: longest sequence, marks included.
    """
    backend = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(BPE(end_of_word_suffix=_WORD_END))
    learner.normalizer, learner.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    alphabet = sorted(ByteLevel.alphabet())
    letters = [*alphabet, *(letter + _WORD_END for letter in alphabet)]
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=letters,  # numbered first: in which order words come, and so ties, would else be chance
        end_of_word_suffix=_WORD_END,
        show_progress=False,
    )
    learner.train_from_iterator(captions, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters]
    merges = merges[: max(0, vocab_size - len(tokens))]
    tokens += [a + b for a, b in merges]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=context_length)


def small_clip(shape: SmallCLIPArguments, captions: Iterable[str]) -> tuple[CLIPConfig, CLIPProcessor]:
    """Makes the config of a small CLIP and its processor, tokenizer included.

    Args:
        shape: sizes of the towers.
        captions: what the tokenizer learns from.
    """
    tokenizer = train_tokenizer(captions, shape.vocab_size, shape.context_length)
    tower = {
        "hidden_size": shape.width,
        "intermediate_size": 3 * shape.width,
        "num_attention_heads": shape.width // 32,
        "projection_dim": shape.width,
    }
    config = CLIPConfig(
        text_config={
            **tower,
            "num_hidden_layers": shape.text_layers,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": shape.context_length,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            **tower,
            "num_hidden_layers": shape.image_layers,
            "image_size": shape.image_size,
            "patch_size": shape.patch_size,
        },
        projection_dim=shape.width,
    )
    edge = shape.image_size
    image_processor = CLIPImageProcessorPil(size={"shortest_edge": edge}, crop_size={"height": edge, "width": edge})
    return config, CLIPProcessor(image_processor, tokenizer)
