import re
from dataclasses import fields
from pathlib import Path

import pytest

from hf_noisy_itm import InputError
from hf_noisy_itm.arguments import config_class, parse_recipe
from hf_noisy_itm.banking import parse_bank
from hf_noisy_itm.concepts import parse_concepts
from hf_noisy_itm.evaluation import parse_evaluation
from hf_noisy_itm.export import parse_convert
from hf_noisy_itm.hub import parse_publish
from hf_noisy_itm.methods import BaselineConfig
from hf_noisy_itm.noise_report import parse_report
from hf_noisy_itm.noisy_set import parse_noisy_set

ROOT = Path(__file__).parent.parent / "recipes"
RECIPES = sorted(set(ROOT.rglob("*.yaml")) - set((ROOT / "suites").iterdir()))  # suites are of recipes


def test_the_command_line_wins_over_the_file_and_the_file_over_defaults(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("method: npc\nclean_threshold: 0.7\nlearning_rate: 1e-4\nnoise_rate: 0.2\n")
    recipe = parse_recipe([str(file), "--noise_rate", "0.6"], {"seed": 3, "learning_rate": 1.0})
    assert recipe.name == "npc"
    assert recipe.method == {"clean_threshold": 0.7}
    assert recipe.data.noise_rate == 0.6
    assert recipe.training.learning_rate == 1e-4  # YAML reads 1e-4 as a string
    assert recipe.training.seed == 3
    assert recipe.training.output_dir == "runs/npc"


def recipe_of(tmp_path, content, *words):
    file = tmp_path / "a.yaml"
    file.write_text(f"method: npc\n{content}")
    return parse_recipe([str(file), *words])


@pytest.mark.parametrize(
    ("content", "words", "fields"),
    [
        ("virtual_step: pair", "--virtual_blocks 1", {"virtual_blocks": 1}),
        ("virtual_step: pair", "--virtual_optimizer sgd", {"virtual_optimizer": "sgd"}),
        ("virtual_step: pair", "--variant released", {"variant": "released"}),
        ("virtual_blocks: 1\nbank_seed: 2", "--virtual_step pair", {"virtual_step": "pair", "bank_seed": 2}),
        ("virtual_blocks: 1\nbank_seed: 2", "--bank_share 0.5", {"bank_share": 0.5, "bank_seed": 2}),
        ("variant: released\nsame_image: negative", "--impact_every 2", {"same_image": "negative", "impact_every": 2}),
    ],
)
def test_where_two_fields_do_not_go_together_the_command_line_wins(tmp_path, caplog, content, words, fields):
    assert recipe_of(tmp_path, content, *words.split()).method == fields
    (record,) = caplog.records
    file, given = f"{tmp_path / 'a.yaml'}", words.split()[0][2:]
    assert re.fullmatch(
        rf"\w+=\S+ \(in {file}\) does not count: .* {given}=\S+ \(on the command line\)\.", record.message
    )


@pytest.mark.parametrize("where", ["on the command line", "in .*a.yaml"])
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"virtual_step": "pair", "virtual_blocks": 1},
            r"virtual_step='pair' \({where}\) does not go with virtual_blocks=1 \({where}\): give virtual_blocks=None",
        ),
        (
            {"variant": "released", "same_image": "positive", "virtual_optimizer": "adamw_own_state"},
            r"variant='released' \({where}\) does not go with same_image='positive' \({where}\): .*'negative' too",
        ),
        (
            {"bank_share": 0.5, "virtual_blocks": 0},
            r"bank_share=0\.5 \({where}\) does not go with virtual_blocks=0 \({where}\)",
        ),
    ],
)
def test_fields_given_in_one_place_that_do_not_go_together_are_refused(tmp_path, where, fields, sentence):
    as_yaml = "".join(f"{name}: {value}\n" for name, value in fields.items())
    words = [f"--{name}={value}" for name, value in fields.items()]
    given = ("virtual_step: pair\n", *words) if where == "on the command line" else (as_yaml,)
    with pytest.raises(InputError, match=sentence.replace("{where}", where)):
        recipe_of(tmp_path, *given)


def test_a_number_that_may_be_none_is_so_by_name(tmp_path):
    for none in ("none", "None", "null"):
        assert recipe_of(tmp_path, "", "--virtual_blocks", none).method == {"virtual_blocks": None}
        assert recipe_of(tmp_path, f"virtual_blocks: {none}").method == {"virtual_blocks": None}
        recipe = recipe_of(tmp_path, "max_train_pictures: 5", "--max_train_pictures", none, "--noise_rate", none)
        assert (recipe.data.max_train_pictures, recipe.data.noise_rate) == (None, None)
    assert recipe_of(tmp_path, "virtual_blocks: 1", "--virtual_blocks", "2").method == {"virtual_blocks": 2}
    for name in ("impact_every", "max_steps", "bank_share"):
        with pytest.raises(InputError, match=f"--{name}.* invalid (int|float) value: 'none'"):
            recipe_of(tmp_path, "", f"--{name}", "none")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--lerning_rate", "1"], "'lerning_rate'.*did you mean 'learning_rate'"),
        (["--method", "ncp"], "no method 'ncp' .did you mean 'npc'"),
        (["--max_steps", "many"], "max_steps.*invalid int value: 'many'"),
        (["--on_bad_row", "ignore"], "on_bad_row"),
        (["nowhere.yaml"], "There is no recipe nowhere.yaml"),
        (["--seed", "1", "stray"], "Unexpected word.*'stray'"),
        (["--clean_threshold", "0.5"], "Unknown field 'clean_threshold'"),  # of npc, not of the baseline
        (["--per_device_train_batch_size", "1"], "no negatives"),
    ],
)
def test_wrong_words_get_one_sentence(words, sentence):
    with pytest.raises(InputError, match=sentence) as error:
        parse_recipe(words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("methd: npc", "'methd'.*did you mean 'method'"),
        ("- a\n- b", "must hold lines of"),
        ("noise_rate: [0.4]", "'noise_rate' takes one value, got \\[0.4\\]"),
        ("method: [npc]", "'method' takes one value"),
        ("on_bad_row: stopp", "invalid choice: 'stopp'"),
        ("max_train_pictures: 2.5", "invalid int value: '2.5'"),
        ("seed: yes please", "invalid int value"),
        ("learning_rate: -1", "learning_rate must be at least 0"),
        ("gradient_accumulation_steps: 0", "gradient_accumulation_steps must be at least 1"),
        ("dataloader_persistent_workers: true", "leave it off"),
        ("a: [", "is not YAML"),
        ("\xff", "is not YAML"),
    ],
)
def test_wrong_files_get_one_sentence(tmp_path, content, sentence):
    file = tmp_path / "a.yaml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=sentence) as error:
        parse_recipe([str(file)])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(path.parent.parent)))
def test_every_key_of_every_recipe_is_known(path):
    from hf_noisy_itm.small_clip import SmallCLIPArguments

    recipe = parse_recipe([str(path)], extra=SmallCLIPArguments if path.parent.name == "pretrain" else None)
    assert recipe.training.max_steps > 0 or recipe.training.num_train_epochs > 0


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.parent.glob("accelerate_configs/*.yaml")))
def test_every_accelerate_config_is_accepted(path):
    from accelerate.commands.config.config_args import load_config_from_file

    assert load_config_from_file(str(path)).num_processes >= 1


@pytest.mark.parametrize("method", ["npc", "fne"])
def test_control_and_method_differ_in_the_method_only(method):
    root = Path(__file__).parent.parent / "recipes"
    import yaml

    paths = list((root / method).glob("*.yaml"))
    assert len(paths) >= 3
    for path in paths:
        own = yaml.safe_load(path.read_text())
        control = yaml.safe_load((root / "baseline" / path.name).read_text())
        assert own.pop("method") == method
        assert control.pop("method") == "baseline"
        of_the_method = {field.name for field in fields(config_class(method))} - {
            field.name for field in fields(BaselineConfig)
        }
        assert {name: value for name, value in own.items() if name not in of_the_method} == control


@pytest.mark.parametrize(
    ("parse", "words"),
    [
        (parse_bank, ["scenes-clip", "--output", "bank.safetensors"]),
        (parse_evaluation, ["scenes-clip"]),
        (parse_report, ["scenes-clip"]),
        (parse_concepts, ["scenes-clip", "--output", "concepts.safetensors"]),
        (parse_noisy_set, ["--dataset", "scenes", "--kind", "shuffle", "--rate", "0.4", "--output", "noisy"]),
        (parse_convert, ["scenes-clip", "--output", "converted"]),
        (parse_publish, ["runs/mine", "--repo_id", "user/name"]),
    ],
    ids=["bank", "evaluation", "report", "concepts", "noisy set", "convert", "publish"],
)
def test_what_several_processes_would_all_do_is_refused(parse, words, monkeypatch):
    parse(words)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="in one process: start it with python, not with accelerate launch"):
        parse(words)
