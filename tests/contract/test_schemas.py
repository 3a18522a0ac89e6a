"""The JSON Schemas are what the contracts say, and both accept and refuse the same examples.

An example is named `<document>--<what>.json`, an invalid one `<document>--<key at fault>--<what is wrong>.json`: the test
reads the expected key from the name.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from jsonschema.exceptions import ValidationError as SchemaError
from pydantic import ValidationError

from s2s.contracts.schemas import DOCUMENTS, schema_text, write_schemas

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
VALID = sorted((SCHEMAS / "examples" / "valid").glob("*.json"))
INVALID = sorted((SCHEMAS / "examples" / "invalid").glob("*.json"))


def examples(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in paths])


def validator_of(document: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{document}.json").read_text()))


def all_errors(errors: Iterator[SchemaError] | list[SchemaError]) -> Iterator[SchemaError]:
    for error in errors:
        yield error
        yield from all_errors(error.context or [])


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in DOCUMENTS])
def test_a_schema_is_what_its_contract_says(name: str) -> None:
    assert (SCHEMAS / f"{name}.json").read_text() == schema_text(name), "run `make schemas`"
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text(name)))


def test_no_schema_is_left_over(tmp_path: Path) -> None:
    assert {path.name for path in write_schemas(tmp_path)} == {path.name for path in SCHEMAS.glob("*.json")}


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in DOCUMENTS])
def test_every_document_has_examples_of_both_kinds(name: str) -> None:
    assert any(path.name.startswith(f"{name}--") for path in VALID)
    assert any(path.name.startswith(f"{name}--") for path in INVALID)


@examples(VALID)
def test_a_valid_example_is_accepted_by_both_and_survives_a_round_trip(path: Path) -> None:
    document = path.stem.split("--")[0]
    validator_of(document).validate(json.loads(path.read_text()))
    model = DOCUMENTS[document].model_validate_json(path.read_text())
    again = model.model_dump_json()
    validator_of(document).validate(json.loads(again))
    assert DOCUMENTS[document].model_validate_json(again) == model


@examples(INVALID)
def test_an_invalid_example_is_refused_by_both_for_its_reason(path: Path) -> None:
    document, key, _ = path.stem.split("--")
    with pytest.raises(ValidationError) as caught:
        DOCUMENTS[document].model_validate_json(path.read_text())
    steps = key.split(".")
    # A field that may be text or a mapping reports the type's name as a step of the path: it is no key.
    places = [[step for step in error["loc"] if step in steps] for error in caught.value.errors()]
    assert steps in places
    errors = list(all_errors(validator_of(document).iter_errors(json.loads(path.read_text()))))
    assert any(steps[-1] in (*error.absolute_path, *error.message.split("'")) for error in errors)
