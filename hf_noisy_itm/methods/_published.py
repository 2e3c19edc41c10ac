"""A published model is a plain CLIP to transformers, and its method to this package.

Its config.json says `model_type: clip`, so that transformers alone, its pipelines and the Hub know what to do with it;
the method and its fields stand under one name, which `CLIPConfig` keeps unread. `AutoModel` finds a class by that of
the config, which is CLIP's: the class that is registered for it here looks for the name.
"""

from transformers import AutoConfig, AutoModel, CLIPConfig, CLIPModel

from ._weights import refuse_adapters_around

OWN_FIELDS = "noisy_itm"


def unfolded(config: dict) -> dict:
    """A stored config as a method writes it: the fields under that name take their places."""
    own = config.get(OWN_FIELDS)
    if not isinstance(own, dict) or "method" not in own:
        return config
    plain = {name: value for name, value in config.items() if name not in (OWN_FIELDS, "auto_map", "architectures")}
    fields = {name: value for name, value in own.items() if name != "method"}
    return plain | fields | {"model_type": f"noisy_itm_{own['method']}"}


def folded(config: dict, fields: dict) -> dict:
    """The inverse: a config of a plain CLIP, with the method aside.

    Args:
        config: as it is stored.
        fields: of the method, with its `model_type`, see `NoisyITMConfig.method`. That name does not stay: in a
            dictionary within a config transformers would take it for the mark of a part.
    """
    kept = {name: value for name, value in config.items() if name not in fields}
    own = {name: value for name, value in fields.items() if name != "model_type"}
    method = fields["model_type"].removeprefix("noisy_itm_")
    return kept | {"model_type": "clip", OWN_FIELDS: {"method": method, **own}}


class CLIPOrMethod(CLIPModel):
    """What `AutoModel` calls for a `CLIPConfig`; it makes a `CLIPModel`, or the method that the config names."""

    @classmethod
    def from_pretrained(cls, name, *args, config: CLIPConfig, **kwargs):
        """See `PreTrainedModel.from_pretrained`."""
        stored = unfolded(config.to_dict())
        try:
            config_class = type(AutoConfig.for_model(stored["model_type"]))
        except ValueError:  # a method of a later version of this package
            config_class = CLIPConfig
        if config_class is CLIPConfig:
            return CLIPModel.from_pretrained(name, *args, config=config, **kwargs)
        refuse_adapters_around(kwargs)
        fields = {key: kwargs.pop(key) for key in getattr(config, OWN_FIELDS) if key in kwargs}
        config = config_class.from_dict(stored, **fields)
        return AutoModel.from_pretrained(name, *args, config=config, **kwargs)

    @classmethod
    def _from_config(cls, config, **kwargs):
        return CLIPModel._from_config(config, **kwargs)


CLIPOrMethod.__module__ = CLIPModel.__module__  # by which `AutoModel` tells code of others, which is theirs to trust
AutoModel.register(CLIPConfig, CLIPOrMethod, exist_ok=True)
