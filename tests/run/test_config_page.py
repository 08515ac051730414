"""The pages of keys are what the code makes, and their keys are those that one can say."""

from pathlib import Path
from typing import Any

import pytest
from rayrank.errors import ConfigError
from rayrank.model.build import SHORT
from rayrank.run.config import RunConfig, load_config
from rayrank.run.config_page import Key, kind_of, models_page, page, sections
from rayrank.schema import Schema
from rayrank.serve.config import RankingArgs
from rayrank.strict import parse

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "jobs" / "demo.yaml"
OF_RUN = [
    (key, key.name.replace("NAME", section.kind or "mtgr"))
    for section in sections(RunConfig)
    for key in section.keys
]
OF_SERVING = [key for section in sections(RankingArgs) for key in section.keys]
OF_LOG = [key for section in sections(Schema) for key in section.keys]
EVERY = [key for key, _ in OF_RUN] + OF_SERVING + OF_LOG


def test_the_pages_are_what_the_code_makes() -> None:
    assert (ROOT / "docs" / "config.md").read_text() == page(), "run make docs"
    assert (ROOT / "docs" / "config-models.md").read_text() == models_page(), "run make docs"


def test_every_model_is_on_the_page() -> None:
    assert list(dict.fromkeys(part.kind for part in sections(RunConfig) if part.kind)) == [*SHORT]
    assert all(f"`rankers.NAME.model`, kind `{kind}`" in models_page() for kind in SHORT)
    assert "rankers.NAME.model." not in page()


@pytest.mark.parametrize("key", EVERY, ids=lambda key: key.name)
def test_every_key_says_what_it_means(key: Key) -> None:
    assert key.meaning, f"{key.name}: write a text under the field"


@pytest.mark.parametrize(("key", "said"), OF_RUN, ids=[f"{k.kind} {said}" for k, said in OF_RUN])
def test_a_key_can_be_said_as_it_stands_and_its_default_is_what_it_is_without(
    key: Key, said: str
) -> None:
    default = key.default.strip("`")
    if key.default == "needed":
        default = {"run_dir": "elsewhere", "data.source": "simulate"}[key.name]
    name = said.split(".")[1] if said.startswith("rankers.") else "mtgr"
    one = f"rankers.{name}.model.kind={name}"  # of which the demo may have none
    value = load_config(DEMO, [one, f"{said}={default}"])
    for part in said.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    if default not in ("null", "true", "false") and not default.startswith("["):
        assert str(value) == default
    with pytest.raises(ConfigError, match="unknown key"):
        load_config(DEMO, [one, f"{said}s=1"])


def test_every_field_is_on_the_page() -> None:
    """Those of a config that is written whole."""

    def leaves(content: dict[str, Any], prefix: str = "") -> set[str]:
        found = set()
        for name, value in content.items():
            inner = isinstance(value, dict)
            found |= leaves(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}"}
        return found

    config = load_config(DEMO)
    expected = leaves(config.model_dump())
    said = {s.replace("mtgr", name) for _, s in OF_RUN for name in config.rankers}
    assert expected <= said
    args = parse(RankingArgs, {"bundles": "x"}, "args")
    assert leaves(args.model_dump()) == {key.name for key in OF_SERVING}


def test_what_a_key_takes() -> None:
    kinds = {key.name: key.kind for key in EVERY}
    assert kinds["rankers.NAME.train.seed"] == "integer ≥ 0, < 4294967296"
    assert kinds["rankers.NAME.train.use_gpu"] == "true or false"
    assert kinds["rankers.NAME.train.precision"] == "`float32`, `bfloat16`, `float16`"
    assert kinds["data.path"] == "text or null"
    assert kinds["rankers.NAME.model.hidden"] == "list of: integer, no fewer than 1"
    assert kinds["tables.NAME.dim"] == "integer > 0, ≤ 1024, a multiple of 4"
    assert kinds["features.NAME.tokens"] == "list of: text, no fewer than 1"
    assert kinds["features.NAME.source"] == "`items`, `users` or null"
    assert "sequences.NAME.from" in kinds, "as one writes it"
    assert kind_of({"type": "number", "exclusiveMinimum": 0, "maximum": 2.5}) == "number > 0, ≤ 2.5"
