"""The one form in which errors reach a client."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from playlist_pipeline.generation.lookup import make_printable

MAX_TEXT = 2000


class Problem(BaseModel):
    """Why a request was not served."""

    what: str = Field(description="What is wrong, in one line.", examples=["length is 0: at least 1 is allowed"])
    where: str = Field(
        description="The part of the request, or the address if no part is to blame.",
        examples=["body.controls.length"],
    )
    advice: str = Field(
        description="What to do.", examples=["Change this part of the request; /docs says what is allowed."]
    )


class Refusal(Exception):
    """A request is not served; carries the answer."""

    def __init__(self, status: int, what: str, *, where: str, advice: str) -> None:
        super().__init__(what)
        self.status = status
        self.problem = Problem(what=clean_text(what), where=clean_text(where), advice=advice)


def clean_text(text: str) -> str:
    """Return ``text`` on one line, without what would not print or could not be sent, at most 2,000 characters."""
    text = make_printable(text)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def explain_invalid(errors: Sequence[dict[str, Any]], address: str) -> Problem:
    """Return the first of the errors that pydantic found in a request, and how many more there are."""
    first, *others = errors
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    more = f" (and {len(others)} more)" if others else ""
    return Problem(
        what=clean_text(f"{message[:1].lower()}{message[1:]}{more}"),
        where=clean_text(place or address),
        advice="Change this part of the request; /docs says what is allowed.",
    )
