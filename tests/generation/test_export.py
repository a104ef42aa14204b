import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from playlist_pipeline.generation.export import (
    GeneratedPlaylist,
    PlaylistTrack,
    format_playlist,
    format_playlists,
    show_playlists,
)
from playlist_pipeline.generation.lookup import ResolvedSeed

ABSENT = "spotify:track:" + "x" * 22
PRESENT = "spotify:track:" + "y" * 22
PAGE = "https://open.spotify.com/track/"
COLUMNS = ["position", "uri", "name", "artist", "album", "seed", "link"]


@pytest.fixture
def playlist():
    return GeneratedPlaylist(
        name="Late [red]night[/red]",
        seeds=(ResolvedSeed(ABSENT, ABSENT, 2, None, None, None),),
        tracks=(
            PlaylistTrack(1, ABSENT, None, None, None, True),
            PlaylistTrack(2, PRESENT, "Bell\x07 [bold]<b>", "Two\nlines", "宇多田ヒカル 👩‍🎤", False),
        ),
        ended_by="eop",
        notes=("2 of 30 tracks: the model ended the playlist",),
        settings={"length": 30, "top_k": 50, "temperature": 0.5, "eop_weight": 1.0},
        seed=7,
    )


def test_dictionary_is_what_the_module_describes(playlist):
    expected = {
        "name": "Late [red]night[/red]",
        "seeds": [{"given": ABSENT, "uri": ABSENT, "known": False, "name": None, "artist": None, "album": None}],
        "unknown_seeds": [ABSENT],
        "tracks": [
            {
                "position": 1,
                "uri": ABSENT,
                "name": None,
                "artist": None,
                "album": None,
                "seed": True,
                "link": PAGE + "x" * 22,
            },
            {
                "position": 2,
                "uri": PRESENT,
                "name": "Bell\x07 [bold]<b>",
                "artist": "Two\nlines",
                "album": "宇多田ヒカル 👩‍🎤",
                "seed": False,
                "link": PAGE + "y" * 22,
            },
        ],
        "ended_by": "eop",
        "notes": ["2 of 30 tracks: the model ended the playlist"],
        "settings": {"length": 30, "top_k": 50, "temperature": 0.5, "eop_weight": 1.0},
        "seed": 7,
    }
    assert playlist.to_dict() == expected
    assert json.loads(json.dumps(playlist.to_dict())) == expected


def test_table_shows_names_literally_and_unbroken(playlist):
    lines = str(playlist).splitlines()
    assert lines[0].strip() == "Late [red]night[/red]"
    (row,) = (line for line in lines if "Bell" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "2",
        "Bell␇ [bold]<b>",
        "Two␊lines",
        "宇多田ヒカル 👩‍🎤",
    ]
    assert any(line.startswith("│  *1 │ spotify:track:xxx") for line in lines)
    assert "* given; length 30, top_k 50, temperature 0.5, eop_weight 1, seed 7" in str(playlist)
    assert f"unknown to the model: {ABSENT}" in str(playlist)
    assert "2 of 30 tracks: the model ended the playlist" in str(playlist)


def test_table_keeps_to_its_width(playlist):
    long = PlaylistTrack(3, PRESENT, "Long name " * 9, "Long artist " * 9, "Long album " * 9, False)
    playlist = replace(playlist, tracks=(*playlist.tracks, long), notes=("A note of many words " * 9,))
    for width in (50, 80, 100, 200):
        lines = format_playlist(playlist.to_dict(), width=width).splitlines()
        assert max(map(len, lines)) <= width
        assert max(len(line) for line in lines if "│" in line) <= 100
        cells = next(line for line in lines if "Long" in line).split("│")
        assert cells[1].strip() == "3"
        assert all(cell.strip().endswith("…") and len(cell) > 5 for cell in cells[2:-1])


def test_several_tables_and_the_console(playlist, capsys):
    one = playlist.to_dict()
    text = format_playlists([one, one])
    assert text.count("Late") == 2
    buffer = StringIO()
    show_playlists([one, one], console=Console(file=buffer, width=100))
    assert buffer.getvalue() == text
    assert "Playlist 2" in format_playlists([one, one | {"name": None}])
    show_playlists([one])
    assert capsys.readouterr().out == str(playlist)


def test_frame_and_html(playlist):
    frame = playlist.to_frame()
    assert list(frame.columns) == COLUMNS
    assert frame["position"].tolist() == [1, 2]
    assert frame["seed"].tolist() == [True, False]
    assert frame["link"].tolist() == [PAGE + "x" * 22, PAGE + "y" * 22]
    html = playlist._repr_html_()
    assert "<h4>Late [red]night[/red]</h4>" in html
    assert f'<a href="{PAGE}{"y" * 22}" target="_blank" rel="noopener">Bell␇ [bold]&lt;b&gt;</a>' in html
    assert (
        f'<td dir="auto">*1</td><td dir="auto"><a href="{PAGE}{"x" * 22}" target="_blank" rel="noopener">{ABSENT}</a>'
        in html
    )
    assert "<b>" not in html
    assert "<p>2 of 30 tracks: the model ended the playlist</p>" in html


def test_only_spotify_tracks_have_a_link(playlist):
    track = playlist.tracks[0]
    for uri in ("spotify:local:a:b:c:1", "spotify:track:short", "spotify:track:" + "ü" * 22, "x"):
        assert replace(track, uri=uri).link is None
        assert replace(track, uri=uri).to_dict()["link"] is None
    text = replace(playlist, tracks=(replace(track, uri="spotify:local:<b>"),))._repr_html_()
    assert "spotify:local:&lt;b&gt;" in text
    assert "<a " not in text


def test_names_are_links_on_a_terminal(playlist):
    buffer = StringIO()
    show_playlists([playlist.to_dict()], console=Console(file=buffer, width=100, force_terminal=True))
    assert f"{PAGE}{'y' * 22}\x1b\\" in buffer.getvalue()  # OSC 8, as rich writes it


def test_playlist_without_tracks(playlist):
    empty = GeneratedPlaylist(None, (), (), "vocabulary", (), playlist.settings, 0)
    assert list(empty.to_frame().columns) == COLUMNS
    assert "<h4>Playlist</h4>" in empty._repr_html_()
    assert "Playlist" in str(empty)
    assert "* given" not in str(empty)
