"""Requests and answers of the API; the bounds of a request stand here."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_LENGTH = 500
MAX_SEEDS = 200
MAX_LINES = 200
MAX_TEXT = 500
MAX_AVOID = 1000
MAX_FOUND = 50
MAX_RECOMMENDED = 200
MAX_SEED = 2**32 - 1

_EXAMPLE_URI = "spotify:track:0A1b2C3d4E5f6G7h8I9j0K"
TRACK = "Track URI, link to open.spotify.com, or artist - title."
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Position = Annotated[int, Field(ge=1, le=MAX_LENGTH)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ControlSettings(_Request):
    """What a completed playlist shall be like."""

    length: int = Field(default=30, ge=1, le=MAX_LENGTH, description="Tracks of the finished playlist, seeds included.")
    top_k: int = Field(
        default=50, ge=1, le=1000, description="Draw each track among so many best ones; 1 always takes the best."
    )
    temperature: float = Field(
        default=1.0, ge=0.01, le=100, description="Small: the best ones mostly; large: all of the top_k alike."
    )
    eop_weight: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="Factor on the probability that the playlist ends early; 0 always fills it to its length. Above 0 "
        "the transformer draws track by track and alone.",
    )
    max_per_artist: int | None = Field(
        default=None, ge=1, le=MAX_LENGTH, description="Most tracks of one artist, seeds included; null for no limit."
    )
    max_per_album: int | None = Field(
        default=None, ge=1, le=MAX_LENGTH, description="Most tracks of one album, seeds included; null for no limit."
    )
    unique_songs: bool = Field(
        default=True, description="Leave out further versions of a song: same artist and title, another track."
    )
    popularity_penalty: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Above 0, rare tracks move up: times log(1 + training count) off the score.",
    )
    diversity: float = Field(
        default=0.0, ge=0, le=1, description="How much it counts that a track is unlike those already in the playlist."
    )
    allow_tracks: list[Text] = Field(
        default=[], max_length=100, description="If these or allow_artists are given, nothing else is added. " + TRACK
    )
    allow_artists: list[Text] = Field(default=[], max_length=100, description="Names or URIs of artists.")
    deny_tracks: list[Text] = Field(default=[], max_length=100, description="Never added; a seed stays. " + TRACK)
    deny_artists: list[Text] = Field(default=[], max_length=100, description="Names or URIs of artists; a seed stays.")
    order: Literal["fixed", "similar"] = Field(
        default="fixed",
        description="fixed: the seeds first, as given, then the others as drawn. similar: each track beside the one "
        "most like it.",
    )


class LockedTrack(_Request):
    """A track that keeps its place."""

    position: Position = Field(description="Its place, from 1; behind the playlist's end it is the end.")
    uri: Text = Field(description="Its URI.", examples=[_EXAMPLE_URI])


class _Seeded(_Request):
    seeds: list[Text] = Field(
        default=[], max_length=MAX_SEEDS, description=f"Given tracks, in order. {TRACK}", examples=[[_EXAMPLE_URI]]
    )
    name: Annotated[str, Field(max_length=MAX_TEXT)] | None = Field(
        default=None,
        description="The playlist's title, which the second stage takes in.",
        examples=["late night techno"],
    )
    controls: ControlSettings = ControlSettings()


class CompletionRequest(_Seeded):
    """A playlist to complete."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "seeds": [_EXAMPLE_URI, "DJ Kreuzfeld - Rotating System"],
                    "name": "late night techno",
                    "controls": {"length": 20, "max_per_artist": 2},
                    "seed": 7,
                    "locked": [{"position": 4, "uri": "spotify:track:1fIY8vIlJd01M1tWT8gXXg"}],
                    "avoid": ["spotify:track:2JfGfHyJS3O0TBEzN1UzLc"],
                }
            ]
        }
    )

    seed: int = Field(
        default=0, ge=0, le=MAX_SEED, description="Random seed: the same request gives the same playlist."
    )
    locked: list[LockedTrack] = Field(
        default=[], max_length=MAX_LENGTH, description="Tracks that stay at their places and count as further seeds."
    )
    avoid: list[Text] = Field(
        default=[],
        max_length=MAX_AVOID,
        description="URIs never added, such as those of the playlist before; seeds and locked tracks stay.",
    )

    @model_validator(mode="after")
    def _check_locked(self) -> Self:
        positions = [track.position for track in self.locked]
        if len(set(positions)) < len(positions) or len({track.uri for track in self.locked}) < len(positions):
            raise ValueError("locked has a position or a track twice")
        return self


class RecommendationRequest(_Seeded):
    """Seeds to recommend tracks for."""

    k: int = Field(default=10, ge=1, le=MAX_RECOMMENDED, description="How many tracks.")


class ExplanationRequest(_Request):
    """A track, and the seeds that it was chosen for."""

    track: Text = Field(description=TRACK, examples=[_EXAMPLE_URI])
    seeds: list[Text] = Field(min_length=1, max_length=MAX_SEEDS, description=f"Given tracks. {TRACK}")


class ResolutionRequest(_Request):
    """Lines that name tracks."""

    lines: list[Annotated[str, Field(max_length=MAX_TEXT)]] = Field(
        min_length=1, max_length=MAX_LINES, description=f"{TRACK} Blank lines and the notes of an M3U are passed over."
    )


class Names(BaseModel):
    """A track as people know it; names are null where no catalog knows it."""

    uri: str = Field(examples=[_EXAMPLE_URI])
    name: str | None = Field(examples=["Rotating System"])
    artist: str | None = Field(examples=["DJ Kreuzfeld"])


class Track(Names):
    """A track with its album and link."""

    album: str | None = Field(examples=["System Series"])
    link: str | None = Field(description="Address at open.spotify.com; null if the URI is no track there.")


class FoundTrack(Track):
    """A track that a search has found."""

    count: int = Field(description="How often it occurs in training.")
    known: bool = Field(description="Whether the model knows it.")


class SearchAnswer(BaseModel):
    """What a search has found, the best match first."""

    tracks: list[FoundTrack]


class ScoredTrack(Track):
    """A track with its rank."""

    rank: int = Field(description="From 1.")
    score: float = Field(description="Comparable within one answer alone; of similar tracks the cosine.")


class RankedAnswer(BaseModel):
    """Tracks, best first."""

    tracks: list[ScoredTrack]


class Seed(Names):
    """A given track."""

    given: str = Field(description="As the request has it.")
    album: str | None
    known: bool = Field(description="Whether the model knows it.")


class CompletedTrack(Track):
    """A track of a completed playlist."""

    position: int = Field(description="From 1.")
    seed: bool = Field(description="Whether it was given.")
    locked: bool = Field(default=False, description="Whether it was locked.")


class Playlist(BaseModel):
    """A completed playlist."""

    name: str | None
    seeds: list[Seed]
    unknown_seeds: list[str] = Field(description="URIs of seeds that the model does not know.")
    tracks: list[CompletedTrack]
    ended_by: Literal["length", "eop", "vocabulary"] = Field(
        description="length: full; eop: the model ended it; vocabulary: no track was left."
    )
    notes: list[str] = Field(description="What is to be known about this playlist.")
    settings: dict[str, int | float | bool | str | list[str] | None] = Field(description="The controls that were set.")
    seed: int = Field(description="The random seed.")


class Reason(Names):
    """How a track stands to a seed."""

    similarity: float | None = Field(description="Cosine of the model's vectors; null if it does not know one of them.")
    together: int | None = Field(description="Training playlists that hold both; null without a catalog.")
    with_seed: int | None = Field(description="Training playlists that hold the seed.")
    link: str | None


class Explanation(BaseModel):
    """How a track stands to each seed, the nearest first."""

    seeds: list[Reason]


class ResolvedLine(Seed):
    """A line that names a track."""

    line: int = Field(description="Its number in the request, from 1.")
    notes: list[str] = Field(description="What was chosen among several versions.")
    link: str | None


class RefusedLine(BaseModel):
    """A line that names no track, or several."""

    line: int
    given: str
    what: str = Field(description="Why, and what would do.")


class Resolution(BaseModel):
    """The tracks that lines name, and the lines that name none."""

    tracks: list[ResolvedLine]
    refused: list[RefusedLine]


class ExportRequest(Playlist):
    """A playlist to write in a format; what /api/complete answers fits."""

    seeds: list[Seed] = Field(default=[], max_length=MAX_SEEDS)
    unknown_seeds: list[str] = Field(default=[], max_length=MAX_SEEDS)
    tracks: list[CompletedTrack] = Field(max_length=MAX_SEEDS + MAX_LENGTH)
    notes: list[str] = Field(default=[], max_length=1000)


class ExportFormat(BaseModel):
    """A format in which playlists can be had."""

    name: str
    title: str
    media_type: str
    suffix: str = Field(examples=[".csv"])


class Info(BaseModel):
    """What is served, and what is allowed."""

    version: str = Field(description="Of the package.")
    tracks: int = Field(description="Tracks that the model knows.")
    has_catalog: bool = Field(description="Whether there is search, and texts are allowed as seeds.")
    has_second_stage: bool = Field(description="Whether a second stage ranks what the transformer proposes.")
    seeds: str = Field(description="What a seed may be.")
    formats: list[ExportFormat]
    max_seeds: int
    max_lines: int
    max_text: int
    max_avoid: int
    max_random_seed: int
    controls: dict[str, dict[str, float | int | bool | str | list[str] | None]] = Field(
        description="Of each control its default, minimum and maximum."
    )


class Health(BaseModel):
    """The server lives."""

    status: Literal["ok"]


def describe_controls() -> dict[str, dict[str, float | int | bool | str | list[str] | None]]:
    """Return of each control its default, minimum and maximum."""
    found = {}
    for name, field in ControlSettings.model_fields.items():
        bounds = {type(bound).__name__: bound for bound in field.metadata}
        found[name] = {
            "default": field.default,
            "minimum": getattr(bounds.get("Ge"), "ge", None),
            "maximum": getattr(bounds.get("Le"), "le", None),
        }
    return found
