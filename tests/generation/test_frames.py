import json

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console

from playlist_pipeline.generation.frames import TrackFrame, format_frame, render_frame, render_html
from playlist_pipeline.generation.lookup import make_link

URIS = ["spotify:track:" + letter * 22 for letter in "abc"]


@pytest.fixture
def frame():
    return TrackFrame(
        {
            "rank": [1, 2, 3],
            "uri": URIS,
            "name": ["Bell\x07 [bold]<b>", "a\tb\u202e\n", None],
            "artist": ["宇多田ヒカル", "A & B", None],
            "album": ["Album", None, None],
            "score": [12.34567, 0.000012345, float("nan")],
            "known": [True, False, True],
            "link": [make_link(URIS[0]), None, "javascript:alert(1)"],
        }
    )


def test_parts_of_a_frame_stay_frames_of_tracks(frame):
    assert isinstance(frame[frame["rank"] > 1].head(1), TrackFrame)
    assert isinstance(frame.assign(more=1), TrackFrame)
    pd.testing.assert_frame_equal(pd.DataFrame(frame), pd.DataFrame(frame.copy()))


def test_parts_without_names_look_as_pandas_shows_them(frame):
    part = frame[["rank", "score"]]
    assert repr(part) == repr(pd.DataFrame(part))
    assert part._repr_html_() == pd.DataFrame(part)._repr_html_()


def test_html_links_and_escapes(frame):
    html = frame._repr_html_()
    assert "<th>link</th>" not in html
    assert html.count("<tr>") == 4
    assert (
        f'<a href="https://open.spotify.com/track/{"a" * 22}" target="_blank" rel="noopener">Bell␇ [bold]&lt;b&gt;</a>'
        in html
    )
    assert '<td dir="auto">a␉b\ufffd␊</td>' in html
    assert '<td dir="auto">A &amp; B</td>' in html
    assert html.count("<a ") == 1
    assert "javascript" not in html
    assert "<b>" not in html
    # A track without a name shows its URI, once as such and once in place of the name.
    assert html.count(f'<td dir="auto">{URIS[2]}</td>') == 2
    assert "nan" not in html
    assert render_html(frame, title="<i>", remarks=["<u>"]).count("&lt;") == 3


def test_a_long_frame_is_cut_as_pandas_cuts(frame):
    long = TrackFrame(pd.concat([frame] * 4, ignore_index=True))
    with pd.option_context("display.max_rows", 5):
        assert long._repr_html_().count("<tr>") == 6
        assert "<p>and 7 more</p>" in long._repr_html_()
        assert repr(long).endswith("\nand 7 more")
        assert repr(long).count("│ Album") == 2
    assert long.to_lines().count("\n") == 12


def test_text_is_a_table(frame):
    lines = repr(frame).splitlines()
    assert [cell.strip() for cell in lines[1].strip("┃").split("┃")] == [
        "rank",
        "name",
        "artist",
        "album",
        "score",
        "known",
    ]
    assert [cell.strip() for cell in lines[3].strip("│").split("│")] == [
        "1",
        "Bell␇ [bold]<b>",
        "宇多田ヒカル",
        "Album",
        "12.35",
        "yes",
    ]
    assert "a␉b\ufffd␊" in lines[4]
    assert URIS[2][:20] in lines[5]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 119, 120, 150, 200])
def test_table_keeps_to_its_width(frame, width):
    long = frame.assign(name="Long name " * 20, artist="宇多田ヒカル" * 20, album="x" * 200)
    lines = format_frame(long, width=width).splitlines()
    assert max(map(cell_len, lines)) <= min(width, 150)
    assert ("uri" in lines[1]) == (width >= 120)
    if width >= 80:
        assert "rank" in lines[1]
        assert "12.35" in lines[3]
        assert cell_len(lines[3]) >= min(width, 150) - 4


def test_a_short_column_leaves_its_share_to_the_others(frame):
    title = "A title of exactly forty-two characters..."
    short = frame.assign(name=title, artist="A", album="B")[["uri", "name", "artist", "album", "link"]]
    assert title in format_frame(short, width=80)
    assert title in format_frame(short, width=42 + len("artist") + len("album") + 10)
    assert title not in format_frame(short, width=42 + len("artist") + len("album") + 9)


def test_counts_keep_their_digits(frame):
    assert "\t123456\t" in frame.assign(rank=[123456.0, 2.0, None])[["uri", "rank", "name"]].to_lines()


def test_terminal_names_are_links(frame):
    console = Console(width=100, force_terminal=True, color_system="truecolor", legacy_windows=False)
    with console.capture() as capture:
        console.print(render_frame(frame, width=100))
    text = capture.get()
    assert f"https://open.spotify.com/track/{'a' * 22}\x1b\\" in text
    assert "javascript" not in text


def test_lines_and_objects(frame):
    lines = frame.to_lines().splitlines()
    assert lines[0].split("\t")[:4] == ["1", URIS[0], "Bell␇ [bold]<b>", "宇多田ヒカル"]
    assert lines[1].split("\t") == ["2", URIS[1], "a␉b\ufffd␊", "A & B", "", "1.234e-05", "no", ""]
    assert all(line.count("\t") == 7 for line in lines)
    objects = json.loads(frame.to_objects())
    assert objects[1]["name"] == "a\tb\u202e\n"
    assert objects[2]["name"] is None
    assert objects[2]["score"] is None
    assert objects[0]["known"] is True
    assert "\\/" not in frame.to_objects()


def test_no_tracks():
    empty = TrackFrame(columns=["rank", "uri", "name", "artist", "album", "score", "link"])
    assert "rank" in repr(empty)
    assert "<th>rank</th>" in empty._repr_html_()
    assert empty.to_lines() == ""
    assert json.loads(empty.to_objects()) == []
