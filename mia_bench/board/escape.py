"""Text from outside (a spec, a reason, a name in a record), made harmless for where it goes: a function a format."""

import re
import unicodedata

BLANK = re.compile(r"[\s\u2028\u2029]+")
"""Line ends of every kind, tabs, runs of spaces: one space."""
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
}  # fmt: skip
MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {character: f"\\{character}" for character in "\\|`*~$"}


def terminal(text: str) -> str:
    """One line in which nothing moves the cursor, colours, hides or turns round what stands beside it.

    Such characters (control, format, private, unassigned) are written as their code, e.g. ``\\u202e``.
    """
    return "".join(_visible(character) for character in BLANK.sub(" ", text).strip())


def markdown(text: str) -> str:
    """As GitHub reads it, within a line or a table's cell: no HTML, image, link (a URL's either), formula or markup."""
    plain = "".join(MARKDOWN.get(character, character) for character in terminal(text))
    plain = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", plain)
    plain = re.sub(r"\[(?![-+\d.,%?CI ]*\](?![(\[]))", r"\\[", plain)  # an interval starts no link
    return re.sub(r"(://|www\.|@)(?=\S)", r"\1 ", plain, flags=re.IGNORECASE)


def paragraph(text: str) -> str:
    """The same, as a line of its own: no heading, list, rule or definition of a link."""
    return re.sub(r"^(\d*)(?=[#+=.)\[-])", r"\1\\", markdown(text))


def latex(text: str) -> str:
    """Also within a comment: nothing starts a command or, as a row's first cell, is the option of the row before; what
    pdflatex has no letter for is written as its code."""
    plain = (c if ord(c) < 0x180 else f"U+{ord(c):04X}" for c in terminal(text))
    return re.sub(r"^(?=[\[*])", "{}", "".join(LATEX.get(character, character) for character in plain))


def csv(value: object) -> object:
    """A cell that no spreadsheet takes for a formula, nor a part of it where another separator is set. Numbers stay."""
    if not isinstance(value, str):
        return "" if value is None else value
    return re.sub(r"(^|[,;|])(?=\s*[=+@\uff0b\uff0d\uff1d\uff20-])", r"\1'", terminal(value))


def _visible(character: str) -> str:
    if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn"):
        return character
    return f"\\u{ord(character):04x}"
