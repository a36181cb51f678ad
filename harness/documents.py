"""YAML documents that people write: read with line numbers, checked against a model."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from harness.errors import InputError

MAX_BYTES = 512 << 10
# Aliases let a small file describe an endless document, so its size is counted unfolded.
MAX_NODES = 100_000

Loc = tuple[int | str, ...]


class Model(BaseModel):
    """Base of what is read from a document: immutable, and no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """A parsed document; the node tree is kept to tell the line of a key."""

    data: Any
    path: Path
    node: yaml.Node | None = None

    def line(self, loc: Loc) -> int | None:
        """Return the line of the deepest part of a key path that is there."""
        node, found = self.node, None
        for part in loc:
            step = _child(node, part)
            if step is None:
                break
            node, found = step
        return found


def read(path: Path) -> Document:
    """Read one YAML mapping; everything that is none is an InputError."""
    text = _text(path)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise InputError("the file is empty", where=str(path), next_step=f"write {path.name}")
        _check_nodes(node, path)
        data = loader.construct_document(node)
    except yaml.YAMLError as error:
        raise _not_yaml(error, path) from None
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        # An impossible date, `!!bool maybe`, nesting without end: PyYAML lets these through.
        raise InputError(f"not usable YAML: {error}", where=str(path)) from None
    if not isinstance(data, dict):
        what = f"holds a {_kind(data)} where a mapping of keys to values is expected"
        raise InputError(what, where=str(path), next_step=f"edit {path}")
    return Document(data, path, node)


def validate(model: type[T], document: Document) -> T:
    """Check a document against a model; all its problems come in one InputError."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        details = error.errors()
    raise failure(
        document.path,
        [_problem(model, document, item) for item in details if not _follows(item, details)],
    )


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a document: where, what, and what to do if that is not plain."""

    place: str
    what: str
    advice: str | None = None


def problem(document: Document, loc: Loc, what: str, advice: str | None = None) -> Problem:
    """Place a problem at a key path of a document."""
    line = document.line(loc)
    place = _dotted(loc) + (f" (line {line})" if line else "")
    return Problem(place.strip(), what, advice)


def failure(path: Path, problems: Sequence[Problem]) -> InputError:
    """Make one error of all problems of a document, one a line."""
    edit = f"correct {path} and run the command again"
    if len(problems) == 1:
        only = problems[0]
        where = f"{path}: {only.place}" if only.place else str(path)
        return InputError(only.what, where=where, next_step=only.advice or edit)
    advices = {item.advice for item in problems}
    shared = advices.pop() if len(advices) == 1 else None
    lines = [
        ": ".join(filter(None, [item.place, item.what]))
        + (f" ({item.advice})" if item.advice and not shared else "")
        for item in problems
    ]
    what = "\n  ".join([f"{len(problems)} problems:", *lines])
    return InputError(what, where=str(path), next_step=shared or edit)


def flow(value: object) -> str:
    """Write a value as YAML on one line."""
    plain = value if isinstance(value, str | dict) else list(value)  # type: ignore[call-overload]
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("...\n").strip()


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is closest, if one is close."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """Say that a word is unknown: name the nearest one, or all where none is near."""
    names = sorted(known)
    close = nearest(word, names)
    hint = f"did you mean '{close}'?" if close else f"known: {', '.join(names) or 'none'}"
    return f"unknown {what} '{shortened(word)}'; {hint}"


def refused(message: str, advice: str | None = None) -> PydanticCustomError:
    """Make the error that a validator raises."""
    return PydanticCustomError("refused", "{message}", {"message": message, "advice": advice})


def shortened(value: object) -> str:
    """Show a value in at most 60 characters."""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"larger than {MAX_BYTES >> 10} KiB, so no such file", where=str(path))
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError("no such file", where=str(path), next_step=_look(path)) from None
    except IsADirectoryError:
        raise InputError("a folder, not a file", where=str(path), next_step=_look(path)) from None
    except UnicodeDecodeError:
        raise InputError("not a text file", where=str(path), next_step="give a YAML file") from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None


def _look(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    names = [item.name for item in folder.glob("*.y*ml")] if folder.is_dir() else []
    close = nearest(path.name, names) or (sorted(names)[0] if path.is_dir() and names else None)
    return f"did you mean {folder / close}?" if close else "give the path of a YAML file"


def _not_yaml(error: yaml.YAMLError, path: Path) -> InputError:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    place = f"{path}: line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
    return InputError(f"not YAML: {what}", where=place, next_step=f"correct {path}")


def _check_nodes(root: yaml.Node, path: Path) -> None:
    """Refuse repeated keys, aliases to themselves and documents that unfold without measure."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_nodes:
            raise InputError("an alias refers to itself", where=_at(path, node))
        open_nodes.add(id(node))
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, path)
        total = 1 + sum(size(child) for child in _children(node))
        if total > MAX_NODES:
            raise InputError(f"unfolds to more than {MAX_NODES} values", where=_at(path, node))
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    size(root)


def _check_keys(node: yaml.MappingNode, path: Path) -> None:
    seen: set[str] = set()
    for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
        if key.value in seen:
            what = f"the key '{shortened(key.value)}' is given twice"
            raise InputError(what, where=_at(path, key), next_step="remove one of the two")
        seen.add(key.value)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _at(path: Path, node: yaml.Node) -> str:
    return f"{path}: line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"


def _child(node: yaml.Node | None, part: int | str) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item, item.start_mark.line + 1
    return None


def _problem(model: type[BaseModel], document: Document, detail: ErrorDetails) -> Problem:
    loc = detail["loc"]
    if loc[-1:] == ("[key]",):  # pydantic shows a key that is no text, such as YAML's `no`, as 0
        loc = (*loc[:-2], str(detail["input"]))
    if detail["type"] == "extra_forbidden":
        what = unknown("key", str(loc[-1]), _keys(model, loc[:-1]))
    elif detail["type"] == "missing":
        what = "this key is missing"
    else:
        what = _message(detail)
    return problem(document, loc, what, detail.get("ctx", {}).get("advice"))


def _follows(detail: ErrorDetails, all_details: Sequence[ErrorDetails]) -> bool:
    """Tell a list that is too short only because its items were refused."""
    loc = detail["loc"]
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in all_details
    )


def _message(detail: ErrorDetails) -> str:
    if detail["type"] == "refused":
        return detail["msg"]
    if detail["type"] in ("too_short", "too_long"):
        bound = "at least" if detail["type"] == "too_short" else "at most"
        limit = detail["ctx"].get("min_length", detail["ctx"].get("max_length"))
        return f"must hold {bound} {limit}; it holds {detail['ctx']['actual_length']}"
    if detail["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return "must be a mapping of keys to values"
    if detail["type"] in ("tuple_type", "list_type"):
        return "must be a list"
    value = detail["input"]
    shown = f"; it is {shortened(value)}" if isinstance(value, str | int | float) else ""
    if value is None:
        shown = "; it is empty"
    text = detail["msg"][:1].lower() + detail["msg"][1:]
    quote = detail["type"] == "string_type" and isinstance(value, bool | int | float)
    return text.replace("input should", "should") + shown + (" (quote it)" if quote else "")


def _keys(model: type[BaseModel], loc: Loc) -> list[str]:
    """List the keys that a model has at a key path."""
    kind: Any = model
    for part in loc:
        kind = _step(kind, part)
    kind = _plain(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [field.alias or name for name, field in kind.model_fields.items()]
    return []


def _step(kind: Any, part: int | str) -> Any:
    kind = _plain(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if part in (name, field.alias):
                return field.annotation
    arguments = [item for item in get_args(kind) if item is not Ellipsis]
    return arguments[-1] if arguments else None


def _plain(kind: Any) -> Any:
    """Strip Annotated and Optional."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, UnionType):
            options = [_plain(item) for item in get_args(kind) if item is not type(None)]
            models = [item for item in options if hasattr(item, "model_fields")]
            kind = (models or options)[0]
        else:
            return kind


def _dotted(loc: Loc) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _kind(data: Any) -> str:
    return "list" if isinstance(data, Sequence) and not isinstance(data, str) else "single value"
