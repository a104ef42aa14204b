import codecs
import json
import random
import tracemalloc
from pathlib import Path

import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.generation import seed_files
from playlist_pipeline.generation.seed_files import SeedList, parse_seeds, read_seed_file

URI = "spotify:track:" + "a" * 22
OTHER = "spotify:track:" + "b" * 22
LINK = "https://open.spotify.com/track/" + "c" * 22 + "?si=1"


def parse(text, format=None):
    data = text if isinstance(text, bytes) else text.encode()
    return [(found.name, list(found.seeds)) for found in parse_seeds(data, source="file", format=format)]


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("", []),
        ("# only a comment\n#\n\n", []),
        ("#1 Crush\u2028x\n", [["#1 Crush\u2028x"]]),
        ("A - B\nC, D - E\n", [["A - B", "C, D - E"]]),
        ("\n\n  A - B\t\n\n\n# x\nC - D\n", [["A - B"], ["C - D"]]),
        ("A - B\n# between\nC - D", [["A - B", "C - D"]]),
        ("<start>\n", [[]]),
        ("<start>\n\nA - B\n", [[], ["A - B"]]),
        ("A - B\r\nC - D\r\n\r\nE\r\n", [["A - B", "C - D"], ["E"]]),
        ("A - B\rC - D\r\rE", [["A - B", "C - D"], ["E"]]),
        ("[bold]A[/bold] - B\n{C} - D", [["[bold]A[/bold] - B", "{C} - D"]]),
    ],
)
def test_text(text, seeds):
    assert parse(text) == [(None, given) for given in seeds]


@pytest.mark.parametrize(
    ("text", "playlists"),
    [
        (f"#EXTM3U\n#EXTINF:123,Queen - Jealousy\n{URI}\n", [(None, [URI])]),
        ("#EXTM3U\n#EXTINF:123,Queen - Jealousy\n../Queen/07.mp3\n", [(None, ["Queen - Jealousy"])]),
        (f"#EXTM3U\n#EXTINF:-1,x\n\n{LINK}\n{URI}\n", [(None, [LINK, URI])]),
        ('#EXTM3U x-tvg="a:b"\n#EXTINF:-1 a="1, 2" b="3",C, D - E, F\nhttp://radio.example/1\n',
         [(None, ["C, D - E, F"])]),
        ('#EXTINF:1 a="unbalanced,A - B\nx.mp3', [(None, ["A - B"])]),
        ("#EXTM3U\nC:\\Music\\03. Queen - Jealousy.MP3\nfile:///m/Bj%C3%B6rk%20-%20J%C3%B3ga.flac\n/m/1979.ogg",
         [(None, ["Queen - Jealousy", "Björk - Jóga", "1979"])]),
        ("01 A - B.mp3\n99 Red Balloons - Nena.mp3\n7 - Prince.mp3\n12 - A - B.mp3",
         [(None, ["A - B", "99 Red Balloons - Nena", "7 - Prince", "A - B"])]),
        ("AC/DC - T.N.T.\nSimon - Mrs. Robinson", [(None, ["AC/DC - T.N.T.", "Simon - Mrs. Robinson"])]),
        ("#EXTM3U\n#PLAYLIST: Road trip \n#EXTALB:x\n# x\nA - B", [("Road trip", ["A - B"])]),
        ("#EXTM3U\n#playlist:One\nA - B\n#EXTM3U\n#PLAYLIST:Two\nC - D\n#EXTM3U\nE - F",
         [("One", ["A - B"]), ("Two", ["C - D"]), (None, ["E - F"])]),
        ("#EXTM3U\n#PLAYLIST:Title alone\n", [("Title alone", [])]),
        ("#EXTM3U\n", []),
        ("#EXTM3U\n#EXTINF:1,No line of its own\n#EXTINF:2,A - B\nb.mp3\n#EXTINF:3,Last\n",
         [(None, ["No line of its own", "A - B", "Last"])]),
    ],
)  # fmt: skip
def test_m3u(text, playlists):
    assert parse(text, "m3u") == playlists
    assert parse(text.replace("\n", "\r\n"), "m3u") == playlists


@pytest.mark.parametrize(
    ("text", "playlists"),
    [
        (f"uri\n{URI}\n\n{OTHER}\n", [(None, [URI, OTHER])]),
        (f"Track URI,Track Name,Artist Name(s)\n{URI},x,y\n,Jóga,Björk\n", [(None, [URI, "Björk - Jóga"])]),
        (f"name;artist;link\nx;y;{LINK}\n", [(None, [LINK])]),
        ('artist,title\n"Earth, Wind & Fire",September\n"A ""q""","two\nlines"\n',
         [(None, ["Earth, Wind & Fire - September", 'A "q" - two\nlines'])]),
        ("title\nJóga\n", [(None, ["Jóga"])]),
        ("Artist\tTitle\nBjörk\tJóga\n", [(None, ["Björk - Jóga"])]),
        ("playlist,artist,title\nX,A,B\nY,C,D\nX,E,F\n,G,H\n",
         [("X", ["A - B", "E - F"]), ("Y", ["C - D"]), (None, ["G - H"])]),
        ("playlist,playlist_name,title\n1,Same,A\n2,Same,B\n3,,C\n4,Title alone,\n5\n",
         [("Same", ["A"]), ("Same", ["B"]), (None, ["C"]), ("Title alone", []), (None, [])]),
        ("artist,title\n'=cmd|,'+1\n'tis,''=x\n", [(None, ["=cmd| - +1", "'tis - '=x"])]),
        (f"{URI}\n{LINK}\n", [(None, [URI, LINK])]),
        (f"2020,{URI},x,y\n", [(None, [URI])]),
        ("Queen,Song\nQueen,\n", [(None, ["Queen - Song", "Queen"])]),
        ("artist,title\n", []),
        ("", []),
    ],
)  # fmt: skip
def test_csv(text, playlists):
    assert parse(text, "csv") == playlists


@pytest.mark.parametrize(
    ("content", "playlists"),
    [
        ([["A - B", URI], []], [(None, ["A - B", URI]), (None, [])]),
        (["A - B", URI], [(None, ["A - B", URI])]),
        ([], []),
        ({"name": "X", "tracks": [{"uri": URI, "name": "x"}]}, [("X", [URI])]),
        ([{"name": "X", "seeds": ["A - B"]}, {"seeds": []}], [("X", ["A - B"]), (None, [])]),
        ([{"name": None, "seeds": [{"uri": OTHER}], "tracks": [{"uri": None, "artist": "A", "name": "B"}]}],
         [(None, ["A - B"])]),
        ({"playlists": [{"name": "X", "tracks": [{"track_uri": URI, "track_name": "x"}]}]}, [("X", [URI])]),
        ([{"link": LINK}, {"title": "T"}, {"artist_name": "A", "track_name": "B"}], [(None, [LINK, "T", "A - B"])]),
    ],
)  # fmt: skip
def test_json(content, playlists):
    assert parse(json.dumps(content), "json") == playlists


XSPF = '<?xml version="1.0"?>\n<playlist version="1" xmlns="http://xspf.org/ns/0/">\n{}\n</playlist>\n'


def test_xspf():
    tracks = (
        f"<track><location>{URI}</location><creator>x</creator><title>y</title></track>"
        "<track><title>September</title><location>x.mp3</location><creator>Earth, Wind &amp; Fire</creator></track>"
        f"<track><location>https://cdn.example/1.mp3</location><identifier> {OTHER}\n</identifier></track>"
        "<track><extension application='x'><title>no</title></extension><title>T &lt;b&gt;</title></track>"
        "<track><location>file:///m/01%20-%20A%20-%20B.mp3</location></track>"
    )
    text = XSPF.format(f"<trackList>{tracks}</trackList><title>\n Road trip </title><creator>nobody</creator>")
    seeds = [URI, "Earth, Wind & Fire - September", OTHER, "T <b>", "A - B"]
    assert parse(text, "xspf") == [("Road trip", seeds)]
    assert parse(text.replace(' xmlns="http://xspf.org/ns/0/"', ""), "xspf") == [("Road trip", seeds)]
    assert parse(text.encode("utf-16"), "xspf") == [("Road trip", seeds)]
    assert parse(XSPF.format("<trackList/>"), "xspf") == []
    assert parse(XSPF.format("<title>Title alone</title><trackList/>"), "xspf") == [("Title alone", [])]
    latin = XSPF.format("<title>Jóga</title>").replace("?>", ' encoding="ISO-8859-1"?>')
    assert parse(latin.encode("latin-1"), "xspf") == [("Jóga", [])]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('<!DOCTYPE p [<!ENTITY a "aaaa">]>\n<playlist><title>&a;</title></playlist>', 1, "a document type is not"),
        ('\n<!DOCTYPE playlist SYSTEM "file:///etc/passwd">\n<playlist/>', 2, "a document type is not allowed"),
        ("<playlist>\n<title>&a;</title></playlist>", 2, "undefined entity"),
        ("<playlist>\n<trackList>", 2, "no element found"),
        ("<html/>", 1, "no XSPF: it begins with <html>"),
        ("", 1, "no element found"),
        ("<playlist>" + "<x>" * 60, 1, "more than 50 elements in each other"),
        ("<playlist><trackList>\n<track>\n<creator>A</creator></track>", 2, "neither a title nor a place"),
        ("<playlist><trackList><track>\n<location>http://x/</location></track>", 1, "neither a title nor a place"),
        ('<?xml version="1.0" encoding="none-such"?><playlist/>', 1, "no XML that can be read"),
        ('<?xml version="1.0" encoding="shift_jis"?><playlist/>', 1, "no XML that can be read"),
    ],
)  # fmt: skip
def test_xspf_that_is_refused(text, line, what):
    with pytest.raises(UserError, match=f"^file, line {line}: .*{what}") as caught:
        parse(text, "xspf")
    assert "\n" not in str(caught.value)


def test_entities_are_refused_before_they_are_expanded():
    declarations = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    with pytest.raises(UserError, match="line 1: a document type is not allowed"):
        parse(f"<!DOCTYPE playlist [{declarations}]><playlist><title>&e11;</title></playlist>", "xspf")


@pytest.mark.parametrize(
    ("text", "format", "message"),
    [
        ("a,b,c\n", "csv", "line 1: 3 fields without a header: begin with one, such as artist,title"),
        ("artist\nQueen\n", "csv", "line 1: the header has artist: it needs uri or link, or artist and title"),
        ('artist,title\n"a\nb",c\nQueen,\n', "csv", "line 4: neither uri nor link nor title: give one of them"),
        ("uri,album\n,x\n", "csv", "line 2: neither uri nor link nor title"),
        ('artist,title\na,b\n"open,c\n', "csv", "line 3: no CSV that can be read (unexpected end of data)"),
        ('artist,title\n"a"b,c\n', "csv", "line 2: no CSV that can be read"),
        ("#EXTM3U\n\nhttp://radio.example/live\n", "m3u", 'line 3: "http://radio.example/live" names no track'),
        ("#EXTM3U\nhttp://[/x.mp3\n", "m3u", 'line 2: "http://[/x.mp3" names no track'),
        ('[["a"\n"b"]]', "json", "not JSON: Expecting ',' delimiter at line 2 column 1"),
        ("", "json", "the file is empty"),
        ("[" * 100_000, "json", "nested too deep"),
        ("7", "json", "no list of playlists"),
        ('{"playlists": {}}', "json", "no list of playlists"),
        ("[[], 7]", "json", "playlist 2: give a list of seeds"),
        ('[{"name": 7, "tracks": []}]', "json", "playlist 1: give a list of seeds"),
        ('[{"tracks": "x"}]', "json", "playlist 1: give a list of seeds"),
        ('[["a"], ["a", ""]]', "json", "playlist 2, seed 2: no text, and no object"),
        ('[["a", {"artist": "A"}]]', "json", "playlist 1, seed 2: no text, and no object"),
        ("a\nb\n" + "c" * 1001, "text", "line 3: a seed has 1,001 characters, 1,000 are the most"),
        ("#EXTM3U\n#PLAYLIST:" + "c" * 1001, "m3u", "line 2: a playlist's name has more than 1,000 characters"),
    ],
)  # fmt: skip
def test_refusals_are_one_line_with_the_place(text, format, message):
    with pytest.raises(UserError) as caught:
        parse(text, format)
    assert message in str(caught.value)
    assert str(caught.value).startswith("file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "most", "text", "message"),
    [
        ("MAX_SEEDS", 3, "a\nb\nc\nd\ne", "file, line 4: the playlist has more than 3 seeds"),
        ("MAX_PLAYLISTS", 2, "a\n\nb\n\nc", "file, line 5: more than 2 playlists"),
        ("MAX_BYTES", 2**20, "a" * (2**20 + 1), "file has more than 1 MiB"),
    ],
)
def test_sizes_are_bounded(name, most, text, message, monkeypatch):
    monkeypatch.setattr(seed_files, name, most)
    with pytest.raises(UserError, match=message):
        parse(text, "text")


@pytest.mark.parametrize(
    ("text", "format"),
    [
        (f"#EXTM3U\n{URI}\n", "m3u"),
        (f"#extinf:1,x\n{URI}\n", "m3u"),
        (f"uri,name\n{URI},x\n", "csv"),
        (f"\n\nname;link\nx;{URI}\n", "csv"),
        (f'  [["{URI}"]]', "json"),
        (f'{{"tracks": ["{URI}"]}}', "json"),
        (XSPF.format(f"<trackList><track><location>{URI}</location></track></trackList>"), "xspf"),
        (f"<playlist><trackList><track><location>{URI}</location></track></trackList></playlist>", "xspf"),
        (f"# a comment\n{URI}\n", "text"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_format_is_found_by_content(text, format, encoding):
    assert parse(text.encode(encoding)) == [(None, [URI])]
    assert parse(text.encode(encoding), format) == [(None, [URI])]


@pytest.mark.parametrize("unit", ["a", '"', '"a', '"a"b'])
def test_a_long_line_takes_little_memory(unit):
    data = b"#EXTM3U\n#EXTINF:" + unit.encode() * (2**20 // len(unit))
    tracemalloc.start()
    try:
        assert parse(data, "m3u") == []
        assert tracemalloc.get_traced_memory()[1] < 12 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("suffix", "format"), [(".M3U", "m3u"), (".m3u8", "m3u"), (".csv", "csv"), (".tsv", "csv")])
def test_suffix_names_the_format(suffix, format, tmp_path):
    # As text these would be other seeds.
    text = {"m3u": "a/Queen - Jealousy.mp3\n", "csv": "Queen,Jealousy\n"}[format]
    path = tmp_path / f"seeds{suffix}"
    path.write_text(text, "utf-8")
    assert read_seed_file(path) == [SeedList(None, ("Queen - Jealousy",))]
    path.with_suffix(".txt").write_text(text, "utf-8")
    assert read_seed_file(path.with_suffix(".txt")) == [SeedList(None, (text.strip(),))]


def test_encodings():
    text = "#EXTM3U\n#EXTINF:1,Björk - Jóga “live”\nx.mp3\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"):
        assert parse(text.encode(encoding), "m3u") == [(None, ["Björk - Jóga “live”"])], encoding
    assert parse("a\n宇多田ヒカル - First Love 👩‍🎤".encode("utf-16")) == [
        (None, ["a", "宇多田ヒカル - First Love 👩‍🎤"])
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a\nb\nJ\xf3ga", "file cannot be read as seeds (line 3 is not UTF-8): save it as UTF-8"),
        (codecs.BOM_UTF8 + b"a\nJ\xf3ga", "line 2 is not UTF-8"),
        (codecs.BOM_UTF16_LE + "a\nb".encode("utf-16-le") + b"\x00", "line 2 is not UTF-16"),
    ],
)
def test_text_that_is_not_utf_8_is_refused(data, message):
    with pytest.raises(UserError) as caught:
        parse(data, "text")
    assert message in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(UserError, match=r"cannot be read as seeds \(") as caught:
            read_seed_file(path)
        assert str(caught.value).startswith(str(path))


SAMPLES = {
    "text": f"A - B\n\n# c\n<start>\n{URI}\n",
    "m3u": f'#EXTM3U\n#PLAYLIST:x\n#EXTINF:1 a="b,c",A - B\n/x/01 - A - B.mp3\n{URI}\nhttp://x/y\n',
    "csv": f'playlist,uri,artist,"title"\nX,{URI},"a ""b""",c\nY,,d,e\n',
    "json": f'[{{"name": "x", "tracks": [{{"uri": "{URI}"}}, "A - B"]}}, []]',
    "xspf": XSPF.format(f"<title>x</title><trackList><track><location>{URI}</location></track></trackList>"),
}


@pytest.mark.parametrize("format", SAMPLES)
def test_damaged_files_are_read_or_refused_in_one_line(format):
    generator = random.Random(format)
    seeds, refusals = [], []
    for _ in range(1000):
        data = bytearray(SAMPLES[format].encode())
        for _ in range(generator.randrange(1, 8)):
            place = generator.randrange(len(data) + 1)
            data[place : place + generator.randrange(3)] = bytes(
                generator.choices(b"\"',;\t\n\r<>&[]{}#: 0a\x00\xff\xfe", k=generator.randrange(4))
            )
        for chosen in (format, None):
            try:
                found = parse_seeds(bytes(data), source="file", format=chosen)
                seeds += [seed for given in found for seed in given.seeds]
            except UserError as error:
                refusals.append(str(error))
    assert min(len(seeds), len(refusals)) > 100
    assert all(seed and seed == seed.strip() for seed in seeds)
    assert all(refusal.startswith("file") and "\n" not in refusal for refusal in refusals)


def test_the_projects_own_file_names_no_seed():
    assert read_seed_file(Path(__file__).parents[2] / "data" / "01_raw" / "seeds.txt") == []
