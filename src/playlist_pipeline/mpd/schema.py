"""The star schema that an archive becomes."""

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
