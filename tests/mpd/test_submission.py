"""Submissions: the bytes that are written, and every rule broken alone."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.mpd import (
    ChallengePlaylist,
    ChallengeSet,
    Submission,
    SubmissionError,
    find_faults,
    verify_submission,
    write_submission,
)
from playlist_pipeline.mpd.submission import RULES


def uri(number):
    return f"spotify:track:{number:022d}"


SEEDS = {20: range(3), 30: range(0), 40: range(2)}
CHALLENGE_SET = ChallengeSet(
    Path("challenge_set.json"),
    tuple(ChallengePlaylist(pid, None, tuple(map(uri, seeds)), 600) for pid, seeds in SEEDS.items()),
)
SUBMISSION = Submission(
    "team", "main", "me@example.org", {pid: [uri(number) for number in range(100 + pid, 600 + pid)] for pid in SEEDS}
)


@pytest.fixture
def path(tmp_path):
    """A submission that keeps the rules: line 1 is the team's, lines 2 to 4 are the lists."""
    path = tmp_path / "submission.csv.gz"
    write_submission(path, SUBMISSION)
    return path


@pytest.fixture
def find(path):
    """Return a function that edits the lines of the submission and gives rule, line, pid and text of each fault."""

    def edit_and_find(edit):
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        edited = edit(lines)
        path.write_bytes(gzip.compress("\n".join(lines if edited is None else edited).encode()))
        return [(fault.rule, fault.line, fault.pid, fault.text) for fault in find_faults(path, CHALLENGE_SET)]

    return edit_and_find


def replace_field(line, place, value):
    fields = line.split(",")
    fields[place] = value
    return ",".join(fields)


# Writing


def test_the_text_that_is_written(path):
    team, *lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    assert team == "team_info,team,main,me@example.org"
    assert lines.pop() == ""
    assert {int(line.split(",")[0]): line.split(",")[1:] for line in lines} == SUBMISSION.lists
    assert [path.name for path in path.parent.iterdir()] == ["submission.csv.gz"]


def test_the_same_submission_gives_the_same_bytes(path, tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1e9)
    other = tmp_path / "deep" / "other.csv.gz"
    write_submission(other, SUBMISSION)
    assert other.read_bytes() == path.read_bytes()
    assert path.read_bytes()[3:8] == bytes(5)  # no flags, so no name, and no time
    write_submission(other, replace(SUBMISSION, track="creative"))
    assert other.read_bytes() != path.read_bytes()


def test_a_write_that_fails_keeps_the_old_file(path):
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_submission(path, replace(SUBMISSION, lists={20: [uri(1), None]}))
    assert path.read_bytes() == before


# What is allowed


def test_a_submission_that_keeps_the_rules(path, caplog):
    assert find_faults(path, CHALLENGE_SET) == []
    with caplog.at_level("INFO", logger="playlist_pipeline"):
        verify_submission(path, CHALLENGE_SET)
    assert caplog.messages == [f"{path} keeps the rules: 3 lists of 500 tracks"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: ["", "# comment", "#", "  ", *lines, ""],
        lambda lines: [lines[0], "  # team_info, 3", *reversed(lines[1:])],
        lambda lines: [f" {line.replace(',', ' ,  ')}\t" for line in lines],
        lambda lines: [line + "\r" for line in lines],
        lambda lines: ["team_info,creative,Tëam,me@example.org", *lines[1:]],
        lambda lines: ["team_info,main,creative,me", *lines[1:]],
    ],
    ids=["blank and comments", "order of lists", "blanks", "carriage returns", "track first", "both are tracks"],
)
def test_what_is_allowed(find, edit):
    assert find(edit) == []


# What is not

WANTED = "team_info, team, main or creative, mail"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("team,team,main,me", f'begins with "team", must be {WANTED}'),
        ("TEAM_INFO,team,main,me", f'begins with "TEAM_INFO", must be {WANTED}'),
        ("\ufeffteam_info,team,main,me", f'begins with "\\ufeffteam_info", must be {WANTED}'),
        ("team_info,team,me", f"has 3 fields, must be {WANTED}"),
        ("team_info,my,team,main,me", f"has 5 fields, must be {WANTED}"),
        ("team_info,team,Main,me", 'has "team", "Main", one of which must be main or creative'),
        ("team_info,team,me,main", 'has "team", "me", one of which must be main or creative'),
        ("team_info,,main,me", f"has an empty field, must be {WANTED}"),
    ],
)
def test_team_info(find, line, text):
    assert find(lambda lines: ["# first", line, *lines[1:]]) == [("team_info", 2, None, text)]


def test_team_info_is_missing(find):
    text = f'begins with "20", must be {WANTED}'
    assert find(lambda lines: lines[1:]) == [("team_info", 1, None, text)]


def test_team_info_comes_first_and_once(find):
    assert find(lambda lines: [lines[0], *lines]) == [
        ("pid", 2, None, 'begins with "team_info", which is no pid'),
        ("num_tracks", 2, None, "3 tracks instead of 500"),
        ("track_uri", 2, None, 'track 1 ("team") is not spotify:track: and an id of 22 characters, and 2 more'),
    ]


def test_nothing_but_comments(find):
    assert find(lambda lines: ["# nothing"]) == [
        ("team_info", None, None, f"no line with {WANTED}"),
        ("missing_pid", None, None, "3 of 3 pids are missing: 20, 30, 40"),
    ]


@pytest.mark.parametrize("pid", ["x", "", "-20", "2e1", "20.0", "0x14", "٢٠", pytest.param("9" * 5000, id="huge")])
def test_pid(find, pid):
    faults = find(lambda lines: [*lines, replace_field(lines[2], 0, pid)])
    assert [fault[:3] for fault in faults] == [("pid", 5, None)]
    assert faults[0][3].endswith(", which is no pid")


def test_unknown_pid(find):
    assert find(lambda lines: [*lines, replace_field(lines[1], 0, "21")]) == [
        ("unknown_pid", 5, 21, "the challenge set has no such pid")
    ]


def test_repeated_pid(find):
    assert find(lambda lines: [*lines[:2], "", lines[1], *lines[1:]]) == [
        ("repeated_pid", line, 20, "stands on line 2 already") for line in (4, 5)
    ]


def test_missing_pids(find):
    assert find(lambda lines: lines[:3]) == [("missing_pid", None, None, "1 of 3 pids are missing: 40")]


@pytest.mark.parametrize(("number", "edit"), [(499, lambda uris: uris[:-1]), (501, lambda uris: [*uris, uri(9)])])
def test_num_tracks(find, number, edit):
    def edit_list(lines):
        pid, *uris = lines[2].split(",")
        lines[2] = ",".join([pid, *edit(uris)])

    assert find(edit_list) == [("num_tracks", 3, 30, f"{number} tracks instead of 500")]


def test_a_comma_too_many(find):
    assert find(lambda lines: [*lines[:3], lines[3] + ","]) == [
        ("num_tracks", 4, 40, "501 tracks instead of 500"),
        ("track_uri", 4, 40, 'track 501 ("") is not spotify:track: and an id of 22 characters'),
    ]


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "0" * 22,
        "spotify:track:" + "0" * 21,
        "spotify:track:" + "0" * 23,
        "spotify:album:" + "0" * 22,
        "Spotify:track:" + "0" * 22,
        "spotify:track:" + "0" * 22 + ":",
        "spotify:track:0000000000:00000000000",
        "https://open.spotify.com/track/" + "0" * 22,
    ],
)
def test_track_uri(find, malformed):
    ((rule, line, pid, text),) = find(lambda lines: [*lines[:2], replace_field(lines[2], 7, malformed), lines[3]])
    assert (rule, line, pid) == ("track_uri", 3, 30)
    assert text.startswith(f'track 7 ("{malformed[:30]}')
    assert text.endswith(" is not spotify:track: and an id of 22 characters")


def test_repeated_track(find):
    def repeat(lines):
        for place, earlier in ((500, 130), (400, 130), (300, 131)):
            lines[2] = replace_field(lines[2], place, uri(earlier))

    text = f'track 1 ("{uri(130)}") occurs more than once, and 1 more'
    assert find(repeat) == [("repeated_track", 3, 30, text)]


def test_seed_track(find):
    def give_seeds(lines):
        lines[2] = replace_field(lines[2], 5, uri(0))  # pid 30 has no seeds
        for place, seed in ((5, 2), (6, 0), (7, 3)):  # 0 to 2 are the seeds of pid 20
            lines[1] = replace_field(lines[1], place, uri(seed))

    text = f'track 5 ("{uri(2)}") is given in the challenge set, and 1 more'
    assert find(give_seeds) == [("seed_track", 2, 20, text)]


def test_the_tracks_of_an_unknown_pid_are_looked_at_too(find):
    faults = find(lambda lines: [*lines, f"21,{uri(5)},{uri(5)}"])
    assert [fault[:3] for fault in faults] == [
        (rule, 5, 21) for rule in ("unknown_pid", "num_tracks", "repeated_track")
    ]


def test_text_that_is_not_utf8(path):
    lines = gzip.decompress(path.read_bytes()).split(b"\n")
    path.write_bytes(gzip.compress(b"\n".join([lines[0], b"# \xff", *lines[1:]])))
    (fault,) = find_faults(path, CHALLENGE_SET)
    assert (fault.rule, fault.line, fault.text) == ("readable", 2, "not UTF-8")


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (gzip.decompress, "no gzip (Not a gzipped file (b'te'))"),
        (lambda data: data[:20], "no gzip (Compressed file ended before the end-of-stream marker was reached)"),
        (lambda data: data[:-8] + bytes(8), "the gzip is damaged after line 4 (CRC check failed"),
        (lambda data: data + b"more", "the gzip is damaged after line 4 (Not a gzipped file (b'mo'))"),
        (lambda data: data[:10] + b"\xff" * 100, "no gzip (Error -3 while decompressing data: invalid block type)"),
    ],
    ids=["plain text", "cut short", "wrong checksum", "something behind it", "no deflate"],
)
def test_gzip(path, damage, text):
    path.write_bytes(damage(path.read_bytes()))
    faults = [fault for fault in find_faults(path, CHALLENGE_SET) if fault.rule == "readable"]
    assert len(faults) == 1
    assert faults[0].text.startswith(text)


def test_files_that_cannot_be_opened(tmp_path):
    for path, reason in ((tmp_path / "none.csv.gz", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError) as caught:
            verify_submission(path, CHALLENGE_SET)
        assert str(caught.value) == (
            f"submission {path} cannot be read ({reason}): give the path of a .csv.gz, "
            "on the command line as --params=submission=PATH"
        )


# How faults are told


def test_the_error_names_the_first_faults_and_how_many_there_are(path):
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    lines = ["team_info,team,me", *(line.rpartition(",")[0] for line in lines[1:]), "x"]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.raises(SubmissionError) as caught:
        verify_submission(path, CHALLENGE_SET)
    assert str(caught.value) == (
        f"submission {path} has 6 faults: line 1: has 3 fields, must be {WANTED}; "
        "line 2, pid 20: 499 tracks instead of 500; line 3, pid 30: 499 tracks instead of 500; and 3 more; "
        "mend it, or write it anew"
    )
    assert [fault.line for fault in caught.value.faults] == [1, 2, 3, 4, 5, 5]


def test_one_fault_of_the_whole_file(path):
    other = replace(CHALLENGE_SET, playlists=(*CHALLENGE_SET.playlists, ChallengePlaylist(50, "x", (), 3)))
    with pytest.raises(SubmissionError) as caught:
        verify_submission(path, other)
    text = "has 1 fault: 1 of 4 pids are missing: 50; mend it, or write it anew"
    assert str(caught.value) == f"submission {path} {text}"
    assert caught.value.faults[0].rule in RULES
