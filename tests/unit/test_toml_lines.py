"""Lines of a TOML document, and what was probably meant."""

import tomllib

import pytest

from bridge.toml_lines import did_you_mean, line_of, syntax_error

LINES = '''\
# [[t]] a = 1
first = """
[[t]]
a = 1
"""

[[t]]
"a" = 1 # one
b.c = [
  1, # a = 2
  { d = "]" },
]

[[t]]
x = 1

[t.sub]
y = 2
'''


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), None),
        (("first",), 2),
        (("t",), 7),
        (("t", 0), 7),
        (("t", 0, "a"), 8),
        (("t", 0, "b"), 9),
        (("t", 0, "b", "c", 0), 10),
        (("t", 0, "b", "c", 1, "d"), 11),
        (("t", 0, "absent"), 7),
        (("t", 1), 14),
        (("t", 1, "x"), 15),
        (("t", 1, "sub", "y"), 18),
        (("t", 2), 7),
        (("absent", 0), None),
    ],
)
def test_the_line_of_a_value(path: tuple[str | int, ...], line: int | None, newline: str) -> None:
    assert line_of(LINES.replace("\n", newline), path) == line


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a = 1\nb = =\n", 2, "Invalid value"),
        ("a = 1\na = 2\n", 2, "Cannot overwrite a value"),
        ("a = 1\nb = [\n1,\n", 4, "Invalid value at the end of the document"),
        ('a = "x', 1, "Unterminated string at the end of the document"),
    ],
)
def test_a_syntax_error_has_a_line_and_a_reason(text: str, line: int, reason: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    assert syntax_error(text, caught.value) == (line, reason)


def test_an_error_of_another_kind_has_no_line() -> None:
    assert syntax_error("", ValueError("no such thing")) == (None, "no such thing")


def test_only_a_word_that_is_close_is_meant() -> None:
    assert did_you_mean("nmber", ["number", "user"]) == "; did you mean 'number'?"
    assert did_you_mean("colour", ["number", "user"]) == ""
