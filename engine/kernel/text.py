"""How texts for people are marked in code, so that the catalogues hold every one of them."""


def N_(message: str) -> str:  # noqa: N802 - gettext's own name, known to every extraction tool
    """Mark `message` for translation and return it unchanged; it is translated where it is shown."""
    return message
