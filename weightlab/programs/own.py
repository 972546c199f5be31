"""A learner's own functions and classes as source text, with what they need from around them."""

from __future__ import annotations

import ast
import inspect
import linecache
import math
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

import torch

from weightlab.program_text import INDENT, literal

_PLAIN = (bool, int, float, str, type(None))
SMALL = 16  # numbers of a tensor that a definition writes out


@dataclass(frozen=True)
class OwnSource:
    """What was found: `definitions` top to bottom, the last of which defines `name`."""

    name: str
    definitions: tuple[str, ...]
    imports: tuple[str, ...] = ()


@dataclass
class _Found:
    definitions: list[str] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)


def source_of(thing: Any, name: str) -> OwnSource | None:
    """The source of a function, lambda or class, with the imports and definitions of the names it uses.

    A lambda becomes a function called `name`. None where the source cannot be had, as for what was typed into
    `python -c`, or where it needs something that no source can make again.
    """
    found = _Found()
    try:
        called = _add(thing, name, found)
    except (OSError, TypeError, ValueError, SyntaxError):
        return None
    return OwnSource(called, tuple(found.definitions), tuple(dict.fromkeys(found.imports)))


def _add(thing: Any, name: str, found: _Found) -> str:
    found.seen.add(id(thing))
    if not (_is_lambda(thing) or thing.__name__.isidentifier()):
        raise ValueError(f"it is called {thing.__name__!r}, which no program can say")
    text = _text_of(thing, name)
    _add_names(thing, text, found)
    found.definitions.append(text)
    return name if _is_lambda(thing) else str(thing.__name__)


def _text_of(thing: Any, name: str) -> str:
    if _is_lambda(thing):
        return _lambda_as_function(thing, name)
    text = textwrap.dedent(_class_source(thing) if isinstance(thing, type) else inspect.getsource(thing)).rstrip()
    # Python 3.13 takes `python -c`'s own text for the source of whatever `exec` defined
    if getattr(ast.parse(text).body[0], "name", "") != thing.__name__:
        raise OSError(f"what stands where {thing.__name__} should be does not define it")
    return text


def _is_lambda(thing: Any) -> bool:
    return isinstance(thing, FunctionType) and thing.__name__ == "<lambda>"


def _class_source(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):  # a notebook's cell is no file, but its functions know in which cell they stand
        for function in _functions(kind):
            text = "".join(linecache.getlines(function.__code__.co_filename))
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
                    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
        raise


def _lambda_as_function(thing: FunctionType, name: str) -> str:
    text = "".join(inspect.findsource(thing)[0])
    places = [place[:4] for place in thing.__code__.co_positions() if place[0] is not None]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Lambda):
            here = (node.body.lineno, node.body.end_lineno, node.body.col_offset, node.body.end_col_offset)
            if here in places:  # the body is the last that is evaluated, and no part of another lambda
                body = ast.get_source_segment(text, node.body) or ""
                body = ast.unparse(node.body) if "\n" in body else body
                return f"def {name}({ast.unparse(node.args)}):\n{INDENT}return {body}"
    raise ValueError("the lambda is not where its lines should be")


def _functions(kind: type) -> Iterator[FunctionType]:
    for value in vars(kind).values():
        inner = inspect.unwrap(value) if callable(value) else getattr(value, "__func__", None)
        if isinstance(inner, FunctionType):
            yield inner


def _add_names(thing: Any, text: str, found: _Found) -> None:
    """Imports and definitions of the names that the text uses and does not define."""
    surroundings: dict[str, Any] = {}
    for function in _functions(thing) if isinstance(thing, type) else (thing,):
        around = inspect.getclosurevars(function)
        surroundings |= {**function.__globals__, **around.nonlocals}
    if isinstance(thing, type) and not surroundings:
        surroundings = vars(inspect.getmodule(thing))
    used = [node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    for name in dict.fromkeys(used):
        if name in surroundings and id(surroundings[name]) not in found.seen:
            _add_name(name, surroundings[name], found)


def _add_name(name: str, value: Any, found: _Found) -> None:
    if isinstance(value, ModuleType):
        found.imports.append(_import_of(name, value.__name__))
    elif home := _home(value):
        called = value.__name__
        found.imports.append(f"from {home} import {called}" + ("" if called == name else f" as {name}"))
    elif isinstance(value, FunctionType | type) and not value.__module__.startswith("weightlab"):
        _add(value, name, found)
    elif isinstance(value, _PLAIN):
        found.definitions.append(f"{name} = {literal(value)}")
    elif isinstance(value, torch.Tensor) and value.numel() <= SMALL:
        found.imports.append("import torch")
        found.definitions.append(f"{name} = torch.tensor({value.tolist()}, dtype={value.dtype})")
    else:
        raise ValueError(f"{name} is {value!r}, which no source makes again")


def _import_of(name: str, module: str) -> str:
    package, _, last = module.rpartition(".")
    if module == name:
        return f"import {name}"
    if not package:
        return f"import {module} as {name}"
    return f"from {package} import {last}" + ("" if last == name else f" as {name}")


def _home(value: Any) -> str:
    """The module of PyTorch or the standard library that a function or class is imported from, "" for neither."""
    called = getattr(value, "__name__", "")
    for module in (torch, torch.nn, torch.nn.functional, torch.optim, math):
        if called and getattr(module, called, None) is value:
            return module.__name__
    home = str(getattr(value, "__module__", None) or "")
    known = home.split(".")[0] in ("torch", *sys.stdlib_module_names) and home not in ("__main__", "builtins")
    return home if known and called and getattr(sys.modules.get(home), called, None) is value else ""
