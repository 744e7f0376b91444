"""The catalogue of messages that a client or an operator can see, and their wording.

`pytest -s tests/contract/test_messages.py` prints every message.
"""

import ast
import re
from collections import defaultdict
from typing import NamedTuple

import click
import pytest

from myapp.core import errors
from myapp.core.openapi.document import openapi
from myapp.core.settings import SettingError
from support import ROOT

pytestmark = pytest.mark.no_database

# The words that `make lint` refuses everywhere, and one that names nothing.
REFUSED_WORDS = re.compile(
    r"\b(no[b]ody|some[b]ody|who[e]ver|whom[e]ver|an[e]w|things?)\b", re.IGNORECASE
)
FOLDERS = "myapp", "tools"

# The position of the message among the arguments of each call.
SERVICE_ERRORS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.ServiceError)
}
# The docstring of such a class is its message.
PROBLEM_KINDS = {kind.__name__ for kind in errors.ServiceError.kinds()}
SERVICE_ERRORS |= PROBLEM_KINDS
CLICK_ERRORS = {
    name
    for name, value in vars(click).items()
    if isinstance(value, type) and issubclass(value, click.ClickException)
}
POSITIONS = {
    **dict.fromkeys(SERVICE_ERRORS | CLICK_ERRORS | {SettingError.__name__}, 0),
    errors.Problem.__name__: 1,
    errors.fault.__name__: 1,
}
# The parsers of parameters and properties raise ValueError with the detail.
PARSERS = "myapp/core/http/", "myapp/core/schema/"


class Message(NamedTuple):
    place: str
    text: str

    def __str__(self):
        return f"{self.place}: {self.text}"


class Module:
    """A Python file, in which the texts of expressions are looked up."""

    def __init__(self, path, root=ROOT):
        self.name = str(path.relative_to(root))
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.values = defaultdict(list)  # the expressions assigned to each name
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self.values[target.id].append(node.value)

    def messages(self):
        """Yield the message of each call in POSITIONS."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef) and node.name in PROBLEM_KINDS:
                place = f"{self.name}:{node.lineno}"
                yield Message(place, ast.get_docstring(node))
            if isinstance(node, ast.Call):
                for argument in self.message_arguments(node):
                    for text in self.texts(argument):
                        yield Message(f"{self.name}:{node.lineno}", text)

    def message_arguments(self, call):
        """Return the arguments of a call that hold a message: one or none."""
        name = getattr(call.func, "id", getattr(call.func, "attr", None))
        position = POSITIONS.get(name)
        if name == "ValueError" and self.name.startswith(PARSERS):
            position = 0
        if position is None:
            return []
        named = [
            keyword.value
            for keyword in call.keywords
            if keyword.arg in ("detail", "message")
        ]
        return named or call.args[position : position + 1]

    def texts(self, node, names=frozenset()):
        """Return the texts that an expression can have; a placeholder is `{…}`.

        `names`: the names that are being resolved, so that none leads to itself.
        """
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=parts):
                return ["".join(self.part(part, names) for part in parts)]
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return [self.part(left, names) + self.part(right, names)]
            case ast.BinOp(op=ast.Mod(), left=left):
                return self.texts(left, names)
            case ast.IfExp(body=first, orelse=second):
                return self.texts(first, names) + self.texts(second, names)
            case ast.BoolOp(values=values):
                return [text for value in values for text in self.texts(value, names)]
            case ast.Call(func=ast.Attribute(value=template, attr="format")):
                return self.texts(template, names)
            case ast.Name(id=name) if name not in names:
                return [
                    text
                    for value in self.values[name]
                    for text in self.texts(value, names | {name})
                ]
        return []

    def part(self, node, names):
        """Return a part of a text, or a placeholder where it is known only at run time."""
        value = node.value if isinstance(node, ast.FormattedValue) else node
        texts = self.texts(value, names)
        return texts[0] if len(texts) == 1 else "{…}"


def descriptions(node, place=""):
    """Yield each description and each summary of an OpenAPI document.

    Examples and enumerated values are data, and the members of `properties` are names.
    """
    if isinstance(node, list):
        for index, value in enumerate(node):
            yield from descriptions(value, f"{place}/{index}")
    elif isinstance(node, dict):
        is_named = place.endswith("/properties")
        for key, value in node.items():
            if isinstance(value, str):
                if key in ("description", "summary") and not is_named:
                    yield Message(f"{place}/{key}", value)
            elif is_named or key not in ("example", "examples", "default", "enum"):
                yield from descriptions(value, f"{place}/{key}")


def helps(commands):
    """Yield the help of each command of the project and of its options."""
    for name, command in sorted(commands.items()):
        if command.callback.__module__.partition(".")[0] in FOLDERS:
            yield Message(f"flask {name}", command.help or "")
            for option in command.params:
                if getattr(option, "help", None):
                    yield Message(f"flask {name} {option.opts[0]}", option.help)


def violations(message, is_sentence=True):
    """Return the rules of wording that a message breaks."""
    text = message.text.strip()
    broken = []
    if not re.match(r"[A-Z0-9`{-]", text):
        broken.append("starts with no capital letter")
    if is_sentence and not re.search(r"([.?:!]|\{…\}|%[a-z])\Z", text):
        broken.append("ends with no full stop")
    if not is_sentence and text.endswith("."):
        broken.append("ends with a full stop, but it is a title")
    words = sorted({match[0].lower() for match in REFUSED_WORDS.finditer(text)})
    if words:
        broken.append(f"refused: {', '.join(words)}")
    return broken


def check(messages, is_sentence=True):
    """Print each text once, and assert that it keeps the rules of wording."""
    first = {}
    for message in messages:
        first.setdefault(message.text, message)
    print("", *first.values(), sep="\n")
    assert first, "no message was found"
    report = [
        f"{message} [{'; '.join(broken)}]"
        for message in first.values()
        if (broken := violations(message, is_sentence))
    ]
    assert not report, "\n".join(["wording:", *report])


def test_the_default_detail_of_each_status_is_a_sentence():
    check(Message(str(status), text) for status, text in errors.DEFAULT_DETAILS.items())


def test_each_detail_of_an_error_is_a_sentence():
    check(
        message
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.name.startswith("test_")
        for message in Module(path).messages()
    )


def test_each_description_in_the_openapi_document_is_a_sentence(project_app):
    with project_app.app_context():
        messages = list(descriptions(openapi(project_app)))
    check(each for each in messages if each.place.endswith("/description"))


def test_each_summary_in_the_openapi_document_is_a_title(project_app):
    with project_app.app_context():
        messages = list(descriptions(openapi(project_app)))
    check(
        (each for each in messages if each.place.endswith("/summary")),
        is_sentence=False,
    )


def test_each_help_of_a_command_is_a_sentence(project_app):
    check(helps(project_app.cli.commands))


@pytest.mark.parametrize(
    "text",
    ["not found.", "Not found", "No such thing.", "Some" + "body has it.", ""],
)
def test_a_message_that_breaks_a_rule_is_reported(text):
    assert violations(Message("here", text))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('raise NotFound("No.")', "No."),
        ('raise Problem(404, "No.")', "No."),
        ('raise Problem(404, detail="No.")', "No."),
        ('fault("/name", f"No {name}.")', "No {…}."),
        ('NO = "No."\nraise Conflict(NO)', "No."),
        ('raise click.UsageError("No." if it else other)', "No."),
    ],
)
def test_a_message_is_found_in_the_code(tmp_path, source, text):
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    assert [message.text for message in Module(path, tmp_path).messages()] == [text]
