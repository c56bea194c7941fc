"""Parses the Liquid of messages' texts in one pass, with limits on everything that could grow.

It supports only a part of Liquid: no loops, ranges or includes. The rest evaluates each part at most once, so the time
for parsing and rendering is bounded by the size of the source. The size is checked here, before Liquid's own parser,
which backtracks and takes minutes for some sources of a few kilobytes.

Tokens are those of python-liquid's parser. Comments leave none.
"""

import re
import unicodedata
from collections.abc import Generator, Iterator
from typing import NoReturn

from liquid.exceptions import LiquidSyntaxError
from liquid.token import TOKEN_CONTENT, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_TAG, Token

__all__ = ["MAX_SOURCE", "TAGS", "Raw", "read_tokens"]

MAX_SOURCE = 4096
"""Characters of a template: as many as of a text message."""

TAGS = ("if", "unless", "case", "assign", "capture", "comment", "raw")
"""The tags that a text may have."""

_MAX_TAGS = 200
"""``{{ }}`` and ``{% %}`` of a template."""

_MAX_PIECES = 1000
"""Names, values and signs between all of them."""

_MAX_PIECES_OF_ONE = 100
"""Names, values and signs in one of them: conditions nest as deep as they are long."""

_MAX_SEARCHES = 100
"""Filters, and a quarter of that of ``contains``, which may look for a text as long as the one it looks into."""

_PARTS = {*TAGS, "elsif", "else", "endif", "endunless", "when", "endcase", "endcapture", "#"}
_OPEN = re.compile(r"\{\{|\{%")
_TAG_NAME = re.compile(r"\s*(#|\w*)\s*")
_END_RAW = re.compile(r"\{%-?\s*endraw\s*-?%\}")
_COMMENT = re.compile(r"\{%-?\s*(end)?comment\b[^%]*%\}")

# Python-liquid finds the same pieces in what this lets through.
_PIECE = re.compile(
    r"""(?P<blank>[\s\u200b-\u200d\u2060\ufeff]+)
      | (?P<text>"[^"]*"|'[^']*')
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?!\w))
      | (?P<word>\w[\w-]*\??)
      | (?P<index>\[[ ]?-?[0-9]{1,4}[ ]?\])
      | (?P<sign>[.,:|]|==|!=|<>|<=|>=|[<>=])
    """,
    re.VERBOSE,
)
_MAX_DIGITS = 15

_QUOTES = str.maketrans({**dict.fromkeys("“”„‟«»″＂", '"'), **dict.fromkeys("‘’‚‛′`´＇", "'")})  # noqa: RUF001


class Raw(str):
    """A piece of text that stood between ``raw`` and ``endraw``."""

    __slots__ = ()


def read_tokens(source: str) -> Iterator[Token]:
    """The tokens of a template. Raises LiquidSyntaxError for what is not Liquid, not offered, or too much."""
    if len(source) > MAX_SOURCE:
        raise LiquidSyntaxError(f"it has {len(source):,} characters, at most {MAX_SOURCE:,}", token=None)
    return _Reader(source).tokens()


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._tags = 0
        self._pieces = 0
        self._searches = 0

    def tokens(self) -> Iterator[Token]:
        """One after the other, each character of the source being looked at a bounded number of times."""
        position, trim = 0, False
        while opening := _OPEN.search(self._source, position):
            end = self._end(opening)
            yield from self._content(position, opening.start(), trim, self._source[opening.end()] == "-")
            trim = self._source[end - 3] == "-"
            position = end
            begin, stop = opening.end() + (self._source[opening.end()] == "-"), end - 2 - trim
            if opening[0] == "{{":
                yield self._token(TOKEN_OUTPUT, opening.start(), end)
                yield self._expression(begin, max(begin, stop))
                continue
            name = _TAG_NAME.match(self._source, begin, stop)
            assert name is not None
            match name[1]:
                case "raw":
                    position, trim = yield from self._raw(end, trim)
                case "comment":
                    position = self._after_comment(opening, end)
                    trim = self._source[position - 3] == "-"
                case "#":
                    pass
                case _:
                    self._check_tag(name, stop)
                    yield self._token(TOKEN_TAG, *name.span(1))
                    if name.end() < stop:
                        yield self._expression(name.end(), stop)
        yield from self._content(position, len(self._source), trim, False)

    def _end(self, opening: re.Match[str]) -> int:
        """Where the tag that opens here has closed."""
        self._tags += 1
        if self._tags > _MAX_TAGS:
            self._fail(f"it has more than {_MAX_TAGS} pairs of braces", opening.start())
        closing = "}}" if opening[0] == "{{" else "%}"
        end = self._source.find(closing, opening.end())
        following = _OPEN.search(self._source, opening.end())
        if end < 0 or (following is not None and following.start() < end):
            what = self._source[opening.start() : opening.start() + 20].split("\n")[0]
            self._fail(f"expected {closing!r} after {what!r}, and it is not there", opening.start())
        return end + 2

    def _content(self, begin: int, end: int, trim_left: bool, trim_right: bool) -> Iterator[Token]:
        text = self._source[begin:end]
        text = text.lstrip() if trim_left else text
        text = text.rstrip() if trim_right else text
        if text:
            yield Token(TOKEN_CONTENT, text, begin, self._source)

    def _raw(self, begin: int, trim: bool) -> Generator[Token, None, tuple[int, bool]]:
        end = _END_RAW.search(self._source, begin)
        if end is None:
            self._fail("expected an 'endraw' after this 'raw', and it is not there", begin)
        for token in self._content(begin, end.start(), trim, end[0][2] == "-"):
            yield token._replace(value=Raw(token.value))
        return end.end(), end[0][-3] == "-"

    def _after_comment(self, opening: re.Match[str], begin: int) -> int:
        depth = 1
        for tag in _COMMENT.finditer(self._source, begin):
            depth += -1 if tag[1] else 1
            if not depth:
                return tag.end()
        return self._fail(
            "expected an 'endcomment' after this 'comment', and it is not there", opening.start()
        )

    def _check_tag(self, name: re.Match[str], stop: int) -> None:
        if not name[1]:
            self._fail("a tag has no name", name.start())
        if name[1] in ("elseif", "elif") or (name[1] == "else" and name.end() < stop):
            self._fail("another condition is written 'elsif'", name.start())
        if name[1] not in _PARTS:
            self._fail(f"there is no tag {name[1]!r} in texts, only {', '.join(TAGS)}", name.start())

    def _expression(self, begin: int, end: int) -> Token:
        """The contents of a tag, with plain blanks between its pieces."""
        pieces, position, plain = 0, begin, []
        while position < end:
            piece = _PIECE.match(self._source, position, end)
            if piece is None:
                self._fail(_unexpected(self._source[begin:end], position - begin), position)
            text = piece[0]
            if piece.lastgroup == "number" and any(len(d) > _MAX_DIGITS for d in text.lstrip("-").split(".")):
                self._fail(f"a number has at most {_MAX_DIGITS} digits", position)
            pieces += piece.lastgroup != "blank"
            self._searches += {"|": 1, "contains": 4}.get(text, 0)
            plain.append(" " * len(text) if piece.lastgroup == "blank" else text)
            position = piece.end()
        self._pieces += pieces
        if pieces > _MAX_PIECES_OF_ONE or self._pieces > _MAX_PIECES or self._searches > _MAX_SEARCHES:
            self._fail("it has too many filters and conditions for one text", begin)
        return Token(TOKEN_EXPRESSION, "".join(plain).strip(" "), begin, self._source)

    def _token(self, kind: str, begin: int, end: int) -> Token:
        return Token(kind, self._source[begin:end], begin, self._source)

    def _fail(self, message: str, position: int) -> NoReturn:
        raise LiquidSyntaxError(message, token=Token(TOKEN_TAG, "", position, self._source))


def _unexpected(expression: str, position: int) -> str:
    """Why the expression cannot be read any further, and how it is written instead."""
    char = expression[position]
    mended = " ".join(expression.translate(_QUOTES).split())
    if char in "'\"":
        other = '"' if char == "'" else "'"
        return f"a {char} is not closed; a text with {char} in it is put between {other} and {other}"
    if char.translate(_QUOTES) in "'\"":
        return f"{char} is no quote in Liquid, write {mended}"
    if char == "(":
        return "a text has neither ranges nor brackets"
    if char in "{}":
        return "a variable has two braces on each side, write {{ name }}"
    if (plain := unicodedata.normalize("NFKC", char)) != char and plain in ".,:|=<>-[]":
        return f"{char!r} ({unicodedata.name(char, 'no letter').lower()}) is not {plain!r}, write {plain!r}"
    return f"unexpected {char!r}"
