"""From a YAML file to a checked model; every fault of the file is reported at once."""

import difflib
import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from agent.errors import ConfigError, Fault

M = TypeVar("M", bound=BaseModel)

MAX_FILE_BYTES = 1_000_000

_APART = frozenset({"prices", "teams", "idle_exemptions"})
"""Lists whose records can be judged without the faulty ones among them."""
_NEEDED = frozenset({"currency", "exchange_rates", "electricity"})
"""Keys without which records would be judged by what is not there."""
_MERGE = "<<"
_KINDS = frozenset({"rented", "owned"})
_PLAINLY = {
    "missing": "is missing",
    "union_tag_not_found": "kind is missing: rented or owned",
    "union_tag_invalid": "kind must be rented or owned",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping of keys",
    "model_attributes_type": "must be a mapping of keys",
    "invalid_key": "a key must be text",
    "string_type": "must be text: put it in quotes",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("decimal_type", "decimal_parsing"), "must be a number"),
}
"""What pydantic says for programmers, for people."""


_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")


class _Loader(yaml.SafeLoader):
    """A loader to which a key that stands twice is an error, not the last one wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                problem = f"the key {name} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge nothing: merges of merges take for ever, and hide a key that stands twice."""


# Dates stay text until their key is known: a wrong one is a fault of that key, not of the whole file.
# So do numbers that YAML 1.1 alone has: 010 (eight), 1:30 (ninety), 0x10 are nobody's price.
_PLAIN = (":bool", ":null")
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag.endswith(_PLAIN)]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_NUMBERS = {
    "int": r"^[-+]?(?:0|[1-9][0-9_]*)$",
    "float": r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
}
for _kind, _pattern in _NUMBERS.items():
    _tag = f"tag:yaml.org,2002:{_kind}"
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list("-+.0123456789"))


def load(
    path: Path, model: type[M], check: Callable[[M], list[tuple[str, str]]] | None = None
) -> M:
    """Read a file into ``model``; ``check`` finds (key, problem) pairs that span several keys.

    Raises:
        ConfigError: with every fault of the file.
    """
    document = _parse(path)
    try:
        config = model.model_validate(document)
    except ValidationError as error:
        faults = [_fault(path, each, model) for each in error.errors(include_url=False)]
        if check is not None:
            faults += _faults_of_the_rest(path, document, error, model, check)
        raise ConfigError(faults) from None
    found = [] if check is None else check(config)
    if found:
        raise ConfigError([Fault(str(path), key, problem) for key, problem in found])
    return config


def _faults_of_the_rest(
    path: Path,
    document: dict[str, Any],
    error: ValidationError,
    model: type[M],
    check: Callable[[M], list[tuple[str, str]]],
) -> list[Fault]:
    """What is wrong across records, as far as records that are good by themselves tell."""
    bad: dict[str, set[int]] = {}
    rest = dict(document)
    for each in error.errors(include_url=False):
        key, number = (*each["loc"], None, None)[:2]
        if key in _NEEDED or not isinstance(key, str):
            return []
        if key in _APART and isinstance(number, int):
            bad.setdefault(key, set()).add(number)
        else:
            rest.pop(key, None)  # its default does for judging the others
    kept = {
        key: [n for n in range(len(rest[key])) if n not in gone]
        for key, gone in bad.items()
        if key in rest
    }
    rest |= {key: [document[key][n] for n in numbers] for key, numbers in kept.items()}

    def as_written(key: str) -> str:
        found = re.match(r"(\w+)\[(\d+)\]", key)
        if found is None or found[1] not in kept:
            return key
        return f"{found[1]}[{kept[found[1]][int(found[2])]}]{key[found.end() :]}"

    try:
        found = check(model.model_validate(rest))
    except ValidationError:
        return []
    return [Fault(str(path), as_written(key), problem) for key, problem in found]


def _parse(path: Path) -> dict[str, Any]:
    file = str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([Fault(file, "", f"cannot be read: {error.strerror}")]) from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError([Fault(file, "", f"is larger than {MAX_FILE_BYTES} bytes")])
    try:
        document = yaml.load(content, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
        raise ConfigError([Fault(file, where, f"is not YAML: {error.problem}")]) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ConfigError([Fault(file, "", f"is not YAML: {error}")]) from None
    if not isinstance(document, dict):
        raise ConfigError([Fault(file, "", "must be a mapping of keys; an empty file has none")])
    return document


def _fault(path: Path, error: Any, model: type[BaseModel]) -> Fault:
    *above, last = error["loc"] or ("",)
    unknown = (
        error["type"] == "extra_forbidden"
    )  # then the last part is a key, whatever it looks like
    location = [part for part in above if not _is_tag(part)]
    location += [last] if unknown or not _is_tag(last) else []
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return Fault(str(path), key.removeprefix("."), _problem(error, location, model))


def _is_tag(part: object) -> bool:
    # Names that pydantic puts into the path for members of a union: no keys of the file.
    return part in {*_KINDS, "datetime", "date", "constrained-str"} or (
        isinstance(part, str) and "[" in part
    )


def _problem(error: Any, location: list[Any], model: type[BaseModel]) -> str:
    kind = error["type"]
    if location[-1:] == [_MERGE]:
        return "merge keys are not read: write the keys out"
    if kind == "extra_forbidden":
        known = _known_keys(model, location[:-1], set(error["loc"]) & _KINDS)
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(known))}"
        return f"unknown key; {hint}"
    if kind == "string_pattern_mismatch":
        return f"must be: {_description(model, location)} (it is {error['input']!r})"
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "must", 1)
    message = _PLAINLY.get(kind, f"{message[:1].lower()}{message[1:]}")
    value = error.get("input")
    if not isinstance(value, str | int | float | bool) or repr(value) in message:
        return message
    comma = ", with a point and not a comma" if _COMMA.fullmatch(str(value)) else ""
    return f"{message}{comma} (it is {value!r})"


def _known_keys(model: type[BaseModel], location: list[Any], kinds: set[str]) -> set[str]:
    """The keys allowed at a place, as far as the JSON Schema tells; of ``kinds`` where it has kinds."""
    properties = [place.get("properties", {}) for place in _places(model, location)]
    return {
        key
        for keys in properties
        if keys.get("kind", {}).get("const") in {None, *kinds}
        for key in keys
    }


def _description(model: type[BaseModel], location: list[Any]) -> str:
    """What the schema says of the key at a place."""
    parents = _places(model, location[:-1])
    keys = [place.get("properties", {}).get(location[-1], {}) for place in parents]
    keys += _places(model, location)
    return next(
        (str(key["description"]) for key in keys if "description" in key), "of another form"
    )


def _places(model: type[BaseModel], location: list[Any]) -> list[dict[str, Any]]:
    """The schemas that may hold at a place: several where it is a union."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    places: list[dict[str, Any]] = [schema]
    for part in location:
        following: list[dict[str, Any]] = []
        for place in places:
            child = (
                place.get("items", {})
                if isinstance(part, int)
                else place.get("properties", {}).get(part)
            )
            following += _resolved(child or {}, definitions)
        places = following
    return places


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in schema:
        return _resolved(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return [each for member in schema[union] for each in _resolved(member, definitions)]
    return [schema]
