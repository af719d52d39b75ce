"""Make text well formed: a lone half of a surrogate pair is no character, and no file, tokenizer or socket takes it."""


def well_formed(text: str) -> str:
    r"""Return `text` with each lone surrogate replaced by U+FFFD; two that belong together become their character.

    JSON can spell half of an emoji (`"\ud83d"`), and Python reads it. Well-formed text is returned as it is.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
