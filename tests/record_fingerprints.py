"""Writes ``tests/fingerprints/WORKFLOW.txt``, the commands of each workflow's code: ``make fingerprints``.

A replay proves that recorded runs go on. It says nothing of a way that no recorded run has taken: a command that moved into
another branch, or a condition before it that changed. So the code itself is read: every place at which a workflow gives Temporal
a command, in the order of the code, with the conditions and loops around it, and what it calls on the way there. Texts, time-outs,
arguments, comments and whatever leads to no command are left out, since they may change freely.
"""

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["CODE", "FINGERPRINTS", "fingerprints"]

FINGERPRINTS = Path(__file__).parent / "fingerprints"
CODE = Path(__file__).parents[1] / "workflows"

COMMANDS = {
    **dict.fromkeys(("execute_activity_method", "start_activity_method", "execute_activity"), "activity"),
    **dict.fromkeys(("execute_local_activity_method", "start_local_activity_method"), "local activity"),
    **dict.fromkeys(("start_child_workflow", "execute_child_workflow"), "child workflow"),
    "get_external_workflow_handle": "another workflow",
    "upsert_search_attributes": "search attributes",
    "upsert_memo": "memo",
    "continue_as_new": "continue as new",
    "patched": "patch",
    "deprecate_patch": "deprecated patch",
    "sleep": "timer",
    "random": "random",
    "uuid4": "random",
    "wait_condition": "wait",
}
"""What :mod:`temporalio.workflow` has that is in a history, or decides what is. A wait is one for what follows it."""

HANDLERS = {"workflow.run", "workflow.signal", "workflow.update", "workflow.init"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Key = tuple[str | None, str]
"""A function: its class (None: of a module), and its name."""


class _Code:
    """The classes and functions of the workflow code."""

    def __init__(self, folder: Path) -> None:
        self.classes: dict[str, ast.ClassDef] = {}
        self.functions: dict[Key, Function] = {}
        for file in sorted(folder.glob("*.py")):
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, Function):
                    self.functions[None, node.name] = node
                elif isinstance(node, ast.ClassDef):
                    self.classes[node.name] = node
                    self.functions |= {
                        (node.name, one.name): one for one in node.body if isinstance(one, Function)
                    }

    def family(self, name: str) -> list[str]:
        """The class and those of workflows/ that it inherits from."""
        bases = [base.id for base in self.classes[name].bases if isinstance(base, ast.Name)]
        return [name, *(one for base in bases if base in self.classes for one in self.family(base))]

    def kind_of(self, name: str, attribute: str) -> str | None:
        """The class of ours whose object an attribute of the class holds."""
        for member in self.family(name):
            for node in ast.walk(self.classes[member]):
                if isinstance(node, ast.Assign | ast.AnnAssign):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    if any(isinstance(one, ast.Attribute) and one.attr == attribute for one in targets):
                        made = self._made(node.value)
                        if made is not None:
                            return made
        return None

    def _made(self, value: ast.expr | None) -> str | None:
        for call in ast.walk(value) if value is not None else ():
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id in self.classes
            ):
                return call.func.id
        return None


class _Reader:
    """Reads the functions of one workflow."""

    def __init__(self, code: _Code, workflow: str) -> None:
        self._code, self._workflow = code, workflow
        self._emits: dict[Key, bool] = {}

    def called(self, node: ast.AST, owner: str | None) -> Key | None:
        """The function of ours that an expression names, if it is one."""
        if isinstance(node, ast.Name) and (None, node.id) in self._code.functions:
            return None, node.id
        if not isinstance(node, ast.Attribute) or owner is None:
            return None
        # The workflow itself, where the code is in a class that it inherits from.
        itself = self._workflow if owner in self._code.family(self._workflow) else owner
        holder = node.value
        if isinstance(holder, ast.Attribute) and _is_self(holder.value):
            kind = self._code.kind_of(itself, holder.attr)
            return self._method(kind, node.attr) if kind else None
        return self._method(itself, node.attr) if _is_self(holder) else None

    def _method(self, start: str, name: str) -> Key | None:
        found = ((one, name) for one in self._code.family(start))
        return next((key for key in found if key in self._code.functions), None)

    def emits(self, key: Key) -> bool:
        """Whether a function gives a command, or calls one that does."""
        if key not in self._emits:
            self._emits[key] = False  # while it is looked at, as functions may call each other
            self._emits[key] = any(True for _ in self.marks(self._code.functions[key], key[0]))
        return self._emits[key]

    def marks(self, node: ast.AST, owner: str | None) -> Iterator[str]:
        """A line for each command in an expression or statement, in the order in which they are evaluated."""
        for child in ast.iter_child_nodes(node):
            if isinstance(node, Function) and child in node.decorator_list:
                continue
            yield from self.marks(child, owner)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            kind = COMMANDS.get(node.func.attr)
            of = node.func.value
            if kind and isinstance(of, ast.Name) and of.id == "workflow":
                yield _command(kind, node)
        key = self.called(node, owner)
        if key is not None and self.emits(key):
            yield f"-> {_name(key)}"

    def lines(self, body: list[ast.stmt], owner: str | None, indent: str) -> Iterator[str]:
        """The statements of a function with commands in them, each with what it stands in."""
        deeper = indent + "  "
        for node in body:
            blocks = _blocks(node)
            if blocks is None:
                for mark in self.marks(node, owner):
                    yield f"{indent}{mark}"
                if isinstance(node, ast.Return | ast.Raise | ast.Break | ast.Continue):
                    yield f"{indent}{type(node).__name__.lower()}"
                continue
            heads, inner = blocks
            shown = [(head, list(self.lines(part, owner, deeper))) for head, part in inner]
            before = [f"{indent}{mark}" for head in heads for mark in self.marks(head, owner)]
            yield from before
            # A block of nothing but an early end matters as much as one with a command.
            if any(lines for _, lines in shown):
                for head, lines in shown:
                    yield f"{indent}{head}"
                    yield from lines


def _blocks(node: ast.stmt) -> tuple[list[ast.expr], list[tuple[str, list[ast.stmt]]]] | None:
    """What a compound statement evaluates first, and its blocks, each with a heading; None for a simple statement."""
    if isinstance(node, ast.If | ast.While):
        word = type(node).__name__.lower()
        parts = [(f"{word} {ast.unparse(node.test)}", node.body)]
        return [node.test], [*parts, *([("else", node.orelse)] if node.orelse else [])]
    if isinstance(node, ast.For | ast.AsyncFor):
        return [node.iter], [(f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}", node.body)]
    if isinstance(node, ast.With | ast.AsyncWith):
        shown = ", ".join(ast.unparse(item.context_expr) for item in node.items)
        return [item.context_expr for item in node.items], [(f"with {shown}", node.body)]
    if isinstance(node, ast.Try):
        caught = [
            (f"except {ast.unparse(one.type) if one.type else ''}".rstrip(), one.body)
            for one in node.handlers
        ]
        rest = [(word, body) for word, body in (("else", node.orelse), ("finally", node.finalbody)) if body]
        return [], [("try", node.body), *caught, *rest]
    if isinstance(node, Function):
        return [], [(f"def {node.name}", node.body)]
    if isinstance(node, ast.Match):
        return [node.subject], [(f"case {ast.unparse(case.pattern)}", case.body) for case in node.cases]
    return None


def _command(kind: str, call: ast.Call) -> str:
    named = {word.arg: word.value for word in call.keywords if word.arg}
    if kind == "wait":
        return "wait, with a timer" if "timeout" in named else "wait"
    if kind in ("activity", "local activity", "child workflow", "patch", "deprecated patch") and call.args:
        what = ast.unparse(call.args[0])
        with_id = f", id {ast.unparse(named['id'])}" if "id" in named else ""
        return f"{kind} {what}{with_id}"
    return kind


def _name(key: Key) -> str:
    return ".".join(part for part in key if part)


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _handlers(code: _Code, workflow: str) -> Iterator[Key]:
    """``run``, and the handlers of signals and updates, with those that it inherits."""
    seen = set()
    for one in code.family(workflow):
        for member in code.classes[one].body:
            if isinstance(member, Function) and member.name not in seen:
                seen.add(member.name)
                decorators = {ast.unparse(node).partition("(")[0] for node in member.decorator_list}
                if decorators & HANDLERS:
                    yield one, member.name


def _of(code: _Code, workflow: str) -> str:
    reader, seen = _Reader(code, workflow), set[Key]()
    lines: list[str] = []
    waiting = list(_handlers(code, workflow))
    while waiting:
        key = waiting.pop(0)
        if key in seen or not reader.emits(key):
            continue
        seen.add(key)
        function = code.functions[key]
        lines += [_name(key), *reader.lines(function.body, key[0], "  "), ""]
        waiting += [
            found for node in ast.walk(function) if (found := reader.called(node, key[0])) is not None
        ]
    text = "\n".join(lines).rstrip() + "\n"
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]}\n\n{text}"


@cache
def fingerprints(folder: Path = CODE) -> dict[str, str]:
    """The fingerprint of each workflow whose code is in the folder, by its name: a hash, and what it is of."""
    code = _Code(folder)
    return {
        name: _of(code, name)
        for name, node in sorted(code.classes.items())
        if any(ast.unparse(one).startswith("workflow.defn") for one in node.decorator_list)
    }


def main() -> None:
    """Writes them, and removes those of workflows that are no more."""
    FINGERPRINTS.mkdir(exist_ok=True)
    found = fingerprints()
    for file in FINGERPRINTS.glob("*.txt"):
        if file.stem not in found:
            file.unlink()
    for name, text in found.items():
        (FINGERPRINTS / f"{name}.txt").write_text(text)
    sys.stdout.write(f"Wrote {FINGERPRINTS.parent.name}/{FINGERPRINTS.name}/*.txt\n")


if __name__ == "__main__":
    main()
