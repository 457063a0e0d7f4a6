"""Errors of YAML files in plain words: the key, what it may be, and the nearest key where there is none of the name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from pydantic import BaseModel

from etl_assets.presets.headers import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pydantic import ValidationError

MOST_SHOWN: Final = 6
MOST_KEYS: Final = 20
_KEYS: Final = "The keys are "

TEXTS: Final = {
    "missing": "it is missing",
    "string_type": "it must be one text, not a list or keys",
    "tuple_type": "it must be a list, such as [a, b]",
    "list_type": "it must be a list, such as [a, b]",
    "dict_type": "it must hold keys with values, such as {{key: value}}",
    "model_type": "it must hold keys with values, such as {{key: value}}",
    "model_attributes_type": "it must hold keys with values, such as {{key: value}}",
    "bool_parsing": "it must be true or false",
    "bool_type": "it must be true or false",
    "int_parsing": "it must be a whole number",
    "int_type": "it must be a whole number",
    "union_tag_not_found": "it lacks the key kind",
    "string_too_short": "it must have at least {min_length} character",
    "string_too_long": "it must have at most {max_length} character",
    "too_short": "it must have at least {min_length} entry",
    "greater_than_equal": "it must be {ge} or more",
    "string_pattern_mismatch": "only a-z, 0-9, _ and - are allowed, and a letter first, such as my_shop",
}
"""Words for the types of Pydantic's errors; the others keep Pydantic's."""


def describe_problems(error: ValidationError, model: type[BaseModel], hidden: Collection[str] = ()) -> str:
    """Describe what is wrong in a file, each problem with its key; long lists are cut.

    Args:
        error: of validating the file.
        model: the class that it was validated as.
        hidden: parts of locations that are no keys of the file.
    """
    errors = error.errors(include_url=False, include_input=False)
    errors.sort(key=lambda one: not _is_unknown_key(one))  # a misspelt key makes others missing
    problems = _without_repeats([_problem(one, model, hidden) for one in errors])
    further = len(problems) - MOST_SHOWN
    return "; ".join(problems[:MOST_SHOWN]) + (f"; and {further} more" if further > 0 else "")


def _problem(error: Mapping[str, Any], model: type[BaseModel], hidden: Collection[str]) -> str:
    location = [part for part in error["loc"] if part != "[key]" and part not in hidden]
    key = "".join(f" no. {part + 1}" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
    text = _no_such_key(error, model, location) if _is_unknown_key(error) else _text(error)
    return f"{key}: {text}" if key else text


def _is_unknown_key(error: Mapping[str, Any]) -> bool:
    is_key = error["loc"][-1:] == ("[key]",)
    return bool(error["type"] == "extra_forbidden" or (is_key and error["type"] == "literal_error"))


def _no_such_key(error: Mapping[str, Any], model: type[BaseModel], location: list[Any]) -> str:
    known = _named_in(error) if error["type"] == "literal_error" else _keys_at(model, location[:-1])
    question = did_you_mean([str(location[-1])], known)
    listed = ", ".join(known[:MOST_KEYS]) + (", …" if len(known) > MOST_KEYS else "")
    return f"there is no such key. {question or _KEYS + listed}"


def _without_repeats(problems: list[str]) -> list[str]:
    """Return each problem once, and each list of keys only with the first that has it."""
    unique, listed = [], set()
    for problem in dict.fromkeys(problems):
        text, _, keys = problem.partition(_KEYS)
        unique.append(text.rstrip(" .") if keys in listed else problem)
        listed |= {keys} - {""}
    return unique


def _text(error: Mapping[str, Any]) -> str:
    if error["type"] == "literal_error":
        return f"it must be {' or '.join(_named_in(error))}"
    text = TEXTS.get(error["type"])
    return str(error["msg"]).removeprefix("Value error, ") if text is None else text.format(**error.get("ctx", {}))


def _named_in(error: Mapping[str, Any]) -> list[str]:
    return re.findall(r"'([^']*)'", str(error["ctx"]["expected"]))


def _keys_at(model: type[BaseModel], location: list[Any]) -> list[str]:
    """Return the keys that the model has at a location; none where it can't be followed."""
    found: Any = model
    for part in location:
        found = _inner(found, part)
    return list(found.model_fields) if _is_model(found) else []


def _inner(annotation: Any, part: Any) -> Any:  # noqa: ANN401  # annotations are of any type
    if _is_model(annotation):
        field = annotation.model_fields.get(part)
        return None if field is None else field.annotation
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return arguments[1]
    return next((one for one in arguments if _is_model(one)), None)


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
