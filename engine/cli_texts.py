"""The commands `akiba texts`: how far the engine's languages are, and who signed their words."""

from typing import Annotated

import msgspec
import typer

from engine.cli_frame import fail, show
from engine.kernel.clock import SystemClock
from engine.runtime import reviews
from engine.runtime.reviews import LanguageReview

texts = typer.Typer(no_args_is_help=True, help="The engine's texts and their translations.")

LanguageArgument = Annotated[str, typer.Argument(help="A language with a catalogue, such as sw.")]


class ReviewShown(msgspec.Struct, frozen=True):
    """How far a language is."""

    language: str
    reviewed: bool
    texts: int
    missing: int
    unsigned: int
    signed_by: str
    signed_on: str


def _shown(review: LanguageReview) -> ReviewShown:
    return ReviewShown(
        language=review.language,
        reviewed=review.is_reviewed,
        texts=len(review.texts),
        missing=review.missing,
        unsigned=len(review.unsigned),
        signed_by=review.signed.by,
        signed_on=review.signed.on.isoformat() if review.signed.on else "",
    )


def _line(one: ReviewShown) -> str:
    signature = f"signed by {one.signed_by} on {one.signed_on}" if one.signed_by else "signed by nobody"
    state = "reviewed" if one.reviewed else f"not reviewed, {one.unsigned} texts to sign"
    return f"{one.language}: {one.texts} texts, {one.missing} missing; {state}; {signature}"


def _review(language: str) -> LanguageReview:
    if language not in reviews.languages():
        fail(f"there is no catalogue of {language!r}; there are: {', '.join(reviews.languages())}")
    try:
        return reviews.review_of(language)
    except ValueError as error:
        fail(str(error))


@texts.command("status")
def texts_status(context: typer.Context) -> None:
    """Say of each language how many texts it has, how many are missing, and whether a speaker signed them."""
    found = [_shown(_review(language)) for language in reviews.languages()]
    show(context, found, lambda: typer.echo("\n".join(map(_line, found))))


@texts.command("list")
def texts_list(
    context: typer.Context,
    language: LanguageArgument,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Only what nobody signed as it stands now.")] = False,
) -> None:
    """Print a language's texts beside the English ones, to be read before they are signed."""
    review = _review(language)
    wanted = {english: review.texts[english] for english in (review.unsigned if unsigned else review.texts)}
    show(
        context,
        wanted,
        lambda: typer.echo("\n".join(f"{english}\n    {said}" for english, said in wanted.items()) or "none"),
    )


@texts.command("sign")
def texts_sign(
    context: typer.Context,
    language: LanguageArgument,
    by: Annotated[str, typer.Option("--by", help="Who speaks the language and read every text of it.")],
) -> None:
    """Note that a speaker of the language read its texts and accepts them; a text that changes later is unsigned again."""
    _review(language)
    try:
        found = _shown(reviews.sign(language, by=by, on=SystemClock().now().date()))
    except ValueError as error:
        fail(str(error))
    show(context, found, lambda: typer.echo(_line(found)))
