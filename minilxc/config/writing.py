"""Lines of a config, written so that they are read as what was meant."""

from __future__ import annotations

from minilxc.errors import MinilxcError

_SPACE = " \t\n\v\f\r"  # between the words of a command, as values.command has it


def written(value: str) -> str:
    """A value as a config must have it to be read like this: in quotes where it has some, or blanks, at its ends."""
    plain = value == value.strip(" \t") and not (
        len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]
    )
    return value if plain else f'"{value}"'


def line(key: str, value: str) -> str:
    """A line of a config, with its end. Raises MinilxcError for a value that no line can hold."""
    if any(c in value for c in "\n\r\0"):
        raise MinilxcError(f"{key}: a config cannot hold the line break, or the NUL, in {value!r}")
    return f"{key} = {written(value)}\n"


def command(words: tuple[str, ...]) -> str:
    """A command line that is split into these words again (values.command). Raises MinilxcError where none is."""
    return " ".join(_word(word) for word in words)


def _word(word: str) -> str:
    if word and word[0] not in "'\"" and not any(c in _SPACE for c in word):
        return word
    for quote in "'\"":
        if quote not in word:
            return f"{quote}{word}{quote}"
    raise MinilxcError(f"a config cannot hold a word with blanks and both kinds of quotes, as {word!r} is")
