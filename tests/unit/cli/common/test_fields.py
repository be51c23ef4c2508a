"""Options are declared once: the command line has each field of an options class as it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner

from lrn_deploy.bundle import TensorSpec
from lrn_deploy.cli import cli
from lrn_deploy.cli.common.fields import field_options, made_of, takes
from lrn_deploy.export.options import ExportOptions
from lrn_deploy.latency.effort import Effort
from lrn_deploy.options import REQUIRED, Written, explained, option, option_of
from lrn_deploy.said import NAMES, Said
from lrn_deploy.serving.settings import ModelSettings, ServerSettings
from lrn_deploy.workflows.build_engine.options import EngineOptions
from lrn_deploy.workflows.import_network.options import ImportOptions
from lrn_deploy.workflows.optimize.options import OptimizeOptions
from lrn_deploy.workflows.profile.options import ProfileOptions
from lrn_deploy.workflows.tune.options import TuneOptions
from lrn_deploy.workflows.validate.options import ValidateOptions

VARIANT = {"target": "cpu", "precision": "int8"}
BUNDLE = ("a-bundle",)
KINDS: dict[str, tuple[type[Any], dict[str, Any], tuple[str, ...]]] = {
    "export": (ExportOptions, {"factory": "digits"}, ("digits", "-o", "a-bundle")),
    "import": (
        ImportOptions,
        {"files": (Path("a.prototxt"), Path("a.caffemodel"))},
        ("a.prototxt", "a.caffemodel", "-o", "a-bundle"),
    ),
    "validate": (ValidateOptions, {}, BUNDLE),
    "profile": (ProfileOptions, {}, BUNDLE),
    "tune": (TuneOptions, {}, BUNDLE),
    "optimize": (OptimizeOptions, VARIANT, (*BUNDLE, "--target=cpu", "--precision=int8")),
    "build-engine": (EngineOptions, {}, BUNDLE),
}
"""Of each command its options, those that must be given, and the words that give them."""
BOUND: dict[str, dict[str, object]] = {
    "export": {
        "--seed": ExportOptions("digits").seed,
        "--opset": ExportOptions("digits").opset,
        "--input": "uint8" if ExportOptions("digits").uint8_input else "float",
    },
    "import": {},
    "validate": {"--max-batch": max(ValidateOptions().batches)},
    "profile": {
        "--max-batch": max(ProfileOptions().batches),
        "--repeats": ProfileOptions().effort.rounds,
        "--seconds": ProfileOptions().effort.seconds,
        "--threads": ProfileOptions().threads,
        "--max-regression": ProfileOptions().max_regression * 100,
        "--layers": "layers" if ProfileOptions().layers else "no-layers",
    },
    "tune": {
        "--objective": TuneOptions().objective,
        "--batch": TuneOptions().batch,
        "--max-batch": TuneOptions().max_batch,
        "--seconds": TuneOptions().effort.seconds,
    },
    "optimize": {"--quantizer": OptimizeOptions(**VARIANT).quantizer},
    "build-engine": {
        "--flavor": EngineOptions().flavor,
        "--precision": EngineOptions().precision,
        "--batch": ",".join(map(str, EngineOptions().batch)),
        "--plugins": EngineOptions().plugins,
        "--lrn": EngineOptions().lrn,
    },
}
"""What the help says is the default, option by option, worked out from the objects."""


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def defaults_in_help(one: click.Command) -> dict[str, str]:
    """What each option's line in the help says is its default."""
    context = click.Context(one)
    records = [param.get_help_record(context) for param in one.params]
    told = [
        (words, re.search(r"\[default: ([^\]]*)\]", text)) for words, text in filter(None, records)
    ]
    return {words.split()[0]: found[1] for words, found in told if found}


@pytest.mark.parametrize("name", KINDS)
def test_the_help_shows_the_defaults_of_the_dataclass(name: str) -> None:
    expected = {flag: str(value) for flag, value in BOUND[name].items()}
    assert defaults_in_help(command(name)) == expected


@pytest.mark.parametrize("name", KINDS)
def test_what_nobody_says_is_what_python_has(name: str) -> None:
    kind, required, words = KINDS[name]
    with command(name).make_context(name, list(words)) as context:
        assert made_of(kind, context.params) == kind(**required)


@pytest.mark.parametrize("kind", [ModelSettings, ServerSettings])
def test_the_server_starts_with_the_settings_of_the_dataclass(kind: type[Any]) -> None:
    with command("serve").make_context("serve", []) as context:
        assert made_of(kind, context.params) == kind()


@pytest.mark.parametrize("name", KINDS)
def test_every_field_has_its_option_and_every_option_its_field(name: str) -> None:
    kind, _, _ = KINDS[name]
    wanted: set[str] = set()
    for field in fields(kind):
        said = option_of(field)
        assert said.help
        assert f"    {field.name}: " in (kind.__doc__ or "")
        if said.joined is not None:
            wanted |= {field.name, *(f"{field.name}_{part}" for part in NAMES)}
        elif said.parts is not None:
            wanted |= set(said.parts)
        elif said.flag is not None:
            wanted.add(field.name)
    extra = {"bundle", "as_json", "output", "force"}
    assert {param.name for param in command(name).params} - extra == wanted


def said_by(name: str, *words: str) -> Any:
    kind, _, given = KINDS[name]
    with command(name).make_context(name, [*given, *words]) as context:
        return made_of(kind, context.params)


def test_what_is_exported_is_what_the_words_say(tmp_path: Path) -> None:
    file = tmp_path / "said.toml"
    file.write_text("scale = 1\nmean = [104, 117, 123]\nstd = 1\n")
    words = "--weights w.pt#ema --input uint8 --shape image=3,8,9 --shape 5:int64 --crop 8x9"
    made = said_by("export", *words.split(), "--preprocessing", str(file), "--mean", "1,2,3")
    image = TensorSpec(name="image", dtype="float32", shape=("batch", 3, 8, 9))
    numbers = TensorSpec(name="", dtype="int64", shape=("batch", 5))
    assert made == ExportOptions(
        "digits",
        Path("w.pt#ema"),
        inputs=(image, numbers),
        uint8_input=True,
        preprocessing=Said(crop=(8, 9), scale=1, mean=(1, 2, 3), std=(1,)),
    )


def test_what_is_imported_is_what_the_words_say() -> None:
    words = "--mean-file m.npy --mean 1,2,3 --stage deploy --stage b --stage b --shape 3,8,9"
    assert said_by("import", *words.split()) == ImportOptions(
        (Path("a.prototxt"), Path("a.caffemodel")),
        mean=Path("m.npy"),
        stages=("deploy", "b"),
        input_shape=(3, 8, 9),
        preprocessing=Said(mean=(1, 2, 3)),
    )


@pytest.mark.parametrize("words", ["--shape 3,0", "--shape a=3", "--shape 3 --shape 4"])
def test_one_shape_is_imported(words: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is no shape|more than once"):
        said_by("import", *words.split())


def test_what_is_deployed_has_the_options_of_what_it_does() -> None:
    kinds = {ExportOptions: "export", ImportOptions: "import", EngineOptions: "build-engine"}
    of = {name: {one.name: one for one in command(name).params} for name in kinds.values()}
    deployed = {one.name: one for one in command("deploy").params}
    named = {"more", "output", "force", "no_engine", "as_json"}
    assert set(of["export"]) | {"mean", "stages", "precision", "targets"} | named == set(deployed)
    for name, one in deployed.items():
        for known in of.values():
            if name in known and name != "as_json":
                assert one.opts == known[name].opts
                assert one.default == known[name].default


@explained
@dataclass(frozen=True)
class Cake:
    """What to bake."""

    flour: float = option(REQUIRED, "Grams of it.", least=1, most=500)
    glaze: Literal["sugar", "lemon"] = option("lemon", "On ``top``.")
    eggs: tuple[int, ...] = option((), "Sizes.", flag="egg", line="A size; may be repeated.")
    dry: bool = option(False, "Without milk.")
    warm: bool = option(True, "Eaten at once.")
    oven: float = option(
        1.5, "Hours.", metavar="MINUTES", written=Written(float, lambda m: m / 60, lambda h: h * 60)
    )
    tasting: Effort = option(Effort(rounds=2), "Bites.", parts={"rounds": "Bites to take."})
    secret: str = option("vanilla", "Told to nobody.", flag=None)


def bake(*words: str) -> tuple[int, str, list[Cake]]:
    made: list[Cake] = []

    @click.command()
    @takes(Cake)
    def baking(options: Cake) -> None:
        made.append(options)

    result = CliRunner().invoke(baking, words)
    return result.exit_code, result.output, made


def test_words_become_the_fields_and_nothing_becomes_the_defaults() -> None:
    assert bake("--flour", "200")[2] == [Cake(200.0)]
    words = "--flour 3 --glaze sugar --egg 2 --egg 1 --egg 2 --dry --no-warm --oven 45 --repeats 7"
    assert bake(*words.split())[2] == [
        Cake(3.0, "sugar", (2, 1), dry=True, warm=False, oven=0.75, tasting=Effort(rounds=7))
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Missing option '--flour'"),
        (["--flour", "501"], "is not in the range 1<=x<=500"),
        (["--flour", "1", "--glaze", "salt"], "'sugar', 'lemon'"),
        (["--flour", "1", "--secret", "x"], "No such option"),
    ],
)
def test_ranges_and_choices_hold(words: list[str], says: str) -> None:
    code, output, made = bake(*words)
    assert (code, made) == (2, [])
    assert says in output


def test_meaning_and_default_are_those_of_the_field() -> None:
    text = " ".join(bake("--help")[1].split())
    for piece in (
        "--glaze [sugar|lemon] On top. [default: lemon]",
        "--egg INTEGER A size; may be repeated.",
        "--dry Without milk.",
        "--warm / --no-warm Eaten at once. [default: warm]",
        "--oven MINUTES Hours. [default: 90.0]",
        "--repeats INTEGER Bites to take. [default: 2]",
    ):
        assert piece in text
    assert "secret" not in text


def test_a_variable_of_the_environment_sets_what_the_command_line_can_take_back() -> None:
    made: list[dict[str, Any]] = []

    @click.command()
    @field_options(Cake, "CAKE")
    def baking(**values: Any) -> None:
        made.append(values)

    settings = {"CAKE_FLOUR": "5", "CAKE_DRY": "1"}
    for words in ([], ["--no-dry"]):
        assert CliRunner().invoke(baking, words, env=settings).exit_code == 0
    assert [(one["flour"], one["dry"]) for one in made] == [(5.0, True), (5.0, False)]
