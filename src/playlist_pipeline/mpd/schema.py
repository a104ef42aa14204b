"""The star schema that an archive becomes."""

import re

import pyarrow as pa


def _required(name: str, type_: pa.DataType) -> pa.Field:
    return pa.field(name, type_, nullable=False)


PLAYLISTS_SCHEMA = pa.schema(
    [
        _required("playlist_id", pa.int32()),
        _required("pid", pa.int32()),
        _required("name", pa.string()),
        pa.field("description", pa.string()),
        _required("collaborative", pa.bool_()),
        _required("modified_at", pa.int64()),
        _required("num_tracks", pa.int32()),
        _required("num_albums", pa.int32()),
        _required("num_artists", pa.int32()),
        _required("num_followers", pa.int32()),
        _required("num_edits", pa.int32()),
        _required("duration_ms", pa.int64()),
    ]
)
ARTISTS_SCHEMA = pa.schema(
    [_required("artist_id", pa.int32()), _required("uri", pa.string()), _required("name", pa.string())]
)
ALBUMS_SCHEMA = pa.schema(
    [_required("album_id", pa.int32()), _required("uri", pa.string()), _required("name", pa.string())]
)
TRACKS_SCHEMA = pa.schema(
    [
        _required("track_id", pa.int32()),
        _required("uri", pa.string()),
        _required("name", pa.string()),
        _required("artist_id", pa.int32()),
        _required("album_id", pa.int32()),
        _required("duration_ms", pa.int32()),
    ]
)
MEMBERSHIPS_SCHEMA = pa.schema(
    [_required("playlist_id", pa.int32()), _required("position", pa.int32()), _required("track_id", pa.int32())]
)

# The slices' JSON as pyarrow reads it. Of `info` nothing is kept but whether it is there.
# `modified_at` and a playlist's `duration_ms` are int64, all other numbers int32.
TRACK_FIELDS: dict[str, pa.DataType] = {
    "pos": pa.int32(),
    "artist_name": pa.string(),
    "track_uri": pa.string(),
    "artist_uri": pa.string(),
    "track_name": pa.string(),
    "album_uri": pa.string(),
    "duration_ms": pa.int32(),
    "album_name": pa.string(),
}
PLAYLIST_FIELDS: dict[str, pa.DataType] = {
    "name": pa.string(),
    "collaborative": pa.string(),
    "pid": pa.int32(),
    "modified_at": pa.int64(),
    "num_tracks": pa.int32(),
    "num_albums": pa.int32(),
    "num_followers": pa.int32(),
    "num_edits": pa.int32(),
    "duration_ms": pa.int64(),
    "num_artists": pa.int32(),
}
OPTIONAL_PLAYLIST_FIELDS: dict[str, pa.DataType] = {"description": pa.string()}
COLLABORATIVE = {"true": True, "false": False}

# What is read of a challenge set; its other fields are left alone.
CHALLENGE_PLAYLIST_FIELDS: dict[str, pa.DataType] = {
    "pid": pa.int32(),
    "name": pa.string(),
    "num_tracks": pa.int32(),
    "num_samples": pa.int32(),
    "num_holdouts": pa.int32(),
}
OPTIONAL_CHALLENGE_FIELDS = ("name",)
CHALLENGE_TRACK_FIELDS: dict[str, pa.DataType] = {"pos": pa.int32(), "track_uri": pa.string()}
TRACK_URI = re.compile(r"spotify:track:[^:]{22}")
"""A track's URI by the rules of the challenge: three fields, the last of 22 characters."""

SLICE_JSON_SCHEMA = pa.schema(
    [
        pa.field("info", pa.struct([])),
        pa.field(
            "playlists",
            pa.list_(
                pa.struct(
                    {
                        **PLAYLIST_FIELDS,
                        **OPTIONAL_PLAYLIST_FIELDS,
                        "tracks": pa.list_(pa.struct(list(TRACK_FIELDS.items()))),
                    }.items()
                )
            ),
        ),
    ]
)
