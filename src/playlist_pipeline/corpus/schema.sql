-- The catalog: who sings what, which playlist holds it where, and to which part each playlist belongs.
-- Ids count from 0 in the order of slice number, playlist and position.

CREATE TABLE artists (
    artist_id INTEGER PRIMARY KEY,
    uri       TEXT NOT NULL,
    name      TEXT NOT NULL,
    name_key  TEXT NOT NULL              -- name as it is compared: case, width and runs of spaces do not matter
) STRICT;

CREATE TABLE albums (
    album_id INTEGER PRIMARY KEY,
    uri      TEXT NOT NULL,
    name     TEXT NOT NULL
) STRICT;

CREATE TABLE tracks (
    track_id       INTEGER PRIMARY KEY,
    uri            TEXT NOT NULL,
    name           TEXT NOT NULL,
    artist_id      INTEGER NOT NULL REFERENCES artists (artist_id),
    album_id       INTEGER NOT NULL REFERENCES albums (album_id),
    duration_ms    INTEGER NOT NULL,
    name_key       TEXT NOT NULL,        -- as in artists
    training_count INTEGER NOT NULL      -- memberships in the training part
) STRICT;

CREATE TABLE playlists (
    playlist_id   INTEGER PRIMARY KEY,
    pid           INTEGER NOT NULL,
    name          TEXT NOT NULL,
    description   TEXT,
    collaborative INTEGER NOT NULL CHECK (collaborative IN (0, 1)),
    modified_at   INTEGER NOT NULL,      -- seconds since 1970
    num_tracks    INTEGER NOT NULL,
    num_albums    INTEGER NOT NULL,
    num_artists   INTEGER NOT NULL,
    num_followers INTEGER NOT NULL,
    num_edits     INTEGER NOT NULL,
    duration_ms   INTEGER NOT NULL
) STRICT;

CREATE TABLE splits (
    playlist_id INTEGER PRIMARY KEY REFERENCES playlists (playlist_id),
    split       TEXT NOT NULL CHECK (split IN ('train', 'validation', 'test'))
) STRICT;

CREATE TABLE memberships (
    playlist_id INTEGER NOT NULL REFERENCES playlists (playlist_id),
    position    INTEGER NOT NULL,        -- from 0
    track_id    INTEGER NOT NULL REFERENCES tracks (track_id),
    PRIMARY KEY (playlist_id, position)
) STRICT, WITHOUT ROWID;

-- A track with the names of its artist and album.
CREATE VIEW track_names AS
SELECT t.track_id, t.uri, t.name AS track, ar.name AS artist, al.name AS album, t.training_count
FROM tracks t
JOIN artists ar ON ar.artist_id = t.artist_id
JOIN albums al ON al.album_id = t.album_id;

-- Full-text index; the texts themselves stay in their tables.
-- SELECT track, artist FROM names WHERE names MATCH 'artist: bjork' ORDER BY rank;
CREATE VIRTUAL TABLE names USING fts5 (
    track, artist, album,
    content = 'track_names', content_rowid = 'track_id', tokenize = 'unicode61 remove_diacritics 2'
);

-- AFTER LOADING: indexes are made in one go, which is much faster than keeping them up row by row.
-- (The memberships and their index are written as pages: btree.py.)

CREATE UNIQUE INDEX artists_by_uri ON artists (uri);
CREATE UNIQUE INDEX albums_by_uri ON albums (uri);
CREATE UNIQUE INDEX tracks_by_uri ON tracks (uri);
CREATE UNIQUE INDEX playlists_by_pid ON playlists (pid);
CREATE INDEX artists_by_name ON artists (name_key);
CREATE INDEX tracks_by_name ON tracks (name_key);
CREATE INDEX tracks_by_artist ON tracks (artist_id);
CREATE INDEX tracks_by_album ON tracks (album_id);
CREATE INDEX splits_by_split ON splits (split);
CREATE INDEX memberships_by_track ON memberships (track_id, playlist_id);
