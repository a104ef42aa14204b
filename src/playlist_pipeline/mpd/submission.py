"""Submissions to the RecSys Challenge 2018: the file that answers a challenge set, written and verified.

Format: gzipped text in UTF-8, fields separated by commas, blanks around a field allowed. Blank lines and lines that
begin with ``#`` count for nothing. The first other line is ``team_info``, team, ``main`` or ``creative``, mail, where
team and track may change places; each further one is a pid and its 500 track URIs, the best first. ``RULES`` are those
of the published verifier, with two differences: a pid that occurs twice is refused, which it lets pass, and the number
of playlists is that of the challenge set.
"""

import gzip
import logging
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from playlist_pipeline.config import CHALLENGE_TRACKS
from playlist_pipeline.errors import UserError
from playlist_pipeline.files import write_file
from playlist_pipeline.mpd.challenge import ChallengeSet
from playlist_pipeline.mpd.fields import quote_value
from playlist_pipeline.mpd.schema import TRACK_URI

logger = logging.getLogger(__name__)

LIST_LENGTH = 500
TEAM_INFO = "team_info"
FAULTS_NAMED = 3
COMPRESSION_LEVEL = 6

_TEAM_LINE = f"{TEAM_INFO}, team, {' or '.join(CHALLENGE_TRACKS)}, mail"
_PID = re.compile(r"[0-9]{1,10}")

RULES: dict[str, str] = {
    "readable": "the file is one whole gzip of text in UTF-8",
    "team_info": f"the first line is {_TEAM_LINE}",
    "pid": "every other line begins with a pid",
    "unknown_pid": "the challenge set has the pid",
    "repeated_pid": "no pid occurs twice",
    "missing_pid": "every pid of the challenge set occurs",
    "num_tracks": f"a list has {LIST_LENGTH} tracks",
    "track_uri": "a track is spotify:track: and an id of 22 characters",
    "repeated_track": "a list has no track twice",
    "seed_track": "a list has no track that is given in the challenge set",
}

_TRACK_FAULTS = {
    "track_uri": "is not spotify:track: and an id of 22 characters",
    "repeated_track": "occurs more than once",
    "seed_track": "is given in the challenge set",
}


@dataclass(frozen=True)
class Submission:
    """What a team hands in.

    Attributes:
        team: Name of the team, without commas.
        track: ``main`` or ``creative``.
        mail: Address of the team.
        lists: Pid to 500 track URIs, the best first.
    """

    team: str
    track: str
    mail: str
    lists: Mapping[int, Sequence[str]]


@dataclass(frozen=True)
class Fault:
    """A breach of a rule.

    Attributes:
        rule: A key of ``RULES``.
        line: Line of the file, from 1; None if the file as a whole is at fault.
        pid: The line's pid, None if it has none.
        text: What is wrong.
    """

    rule: str
    line: int | None
    pid: int | None
    text: str

    def __str__(self) -> str:
        where = [f"line {self.line}"] if self.line is not None else []
        where += [f"pid {self.pid}"] if self.pid is not None else []
        return f"{', '.join(where)}: {self.text}" if where else self.text


class SubmissionError(UserError):
    """A submission breaks rules; the message names the first faults and how many there are.

    Attributes:
        faults: All of them.
    """

    def __init__(self, message: str, faults: Sequence[Fault]) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


def write_submission(path: str | Path, submission: Submission) -> None:
    """Write a submission, whole or not at all; the same one gives the same bytes.

    Args:
        path: The file, ``.csv.gz``; missing folders are made.
        submission: Written as it is; :func:`verify_submission` checks the file.
    """
    with (
        write_file(path) as written,
        written.open("wb") as file,
        # Without name and time, which the header would carry.
        gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION_LEVEL, fileobj=file, mtime=0) as stream,
    ):
        stream.write(f"{TEAM_INFO},{submission.team},{submission.track},{submission.mail}\n".encode())
        for pid, uris in submission.lists.items():
            stream.write(f"{pid},{','.join(uris)}\n".encode())


def verify_submission(path: str | Path, challenge_set: ChallengeSet) -> None:
    """Check a submission by ``RULES``, and log that it keeps them.

    Args:
        path: The gzipped file.
        challenge_set: The playlists that it should continue.

    Raises:
        SubmissionError: It breaks a rule.
        UserError: The file cannot be opened.
    """
    faults = find_faults(path, challenge_set)
    if faults:
        named = "; ".join(map(str, faults[:FAULTS_NAMED]))
        more = f"; and {len(faults) - FAULTS_NAMED} more" if len(faults) > FAULTS_NAMED else ""
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise SubmissionError(f"submission {path} has {count}: {named}{more}; mend it, or write it anew", faults)
    logger.info("%s keeps the rules: %d lists of %d tracks", path, len(challenge_set), LIST_LENGTH)


def find_faults(path: str | Path, challenge_set: ChallengeSet) -> list[Fault]:
    """Find all faults of a submission, in the order of its lines; a list has at most one of each rule.

    Args:
        path: The gzipped file.
        challenge_set: The playlists that it should continue.

    Raises:
        UserError: The file cannot be opened.
    """
    seeds = {playlist.pid: frozenset(playlist.seeds) for playlist in challenge_set.playlists}
    faults: list[Fault] = []
    lines_by_pid: dict[int, int] = {}
    has_begun = False
    for number, fields in _read_lines(Path(path), faults):
        if not has_begun:
            has_begun = True
            faults += _check_team(number, fields)
            if not _PID.fullmatch(fields[0]):
                continue
        faults += _check_list(number, fields, seeds, lines_by_pid)
    if not has_begun:
        faults.append(Fault("team_info", None, None, f"no line with {_TEAM_LINE}"))
    missing = [pid for pid in seeds if pid not in lines_by_pid]
    if missing:
        listed = ", ".join(map(str, missing[:FAULTS_NAMED])) + (", ..." if len(missing) > FAULTS_NAMED else "")
        faults.append(Fault("missing_pid", None, None, f"{len(missing)} of {len(seeds)} pids are missing: {listed}"))
    return faults


def _read_lines(path: Path, faults: list[Fault]) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields of each line that counts; ``faults`` takes what cannot be read."""
    number = 0
    try:
        with gzip.open(path) as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    text = line.decode().strip()
                except UnicodeDecodeError:
                    faults.append(Fault("readable", number, None, "not UTF-8"))
                    continue
                if text and not text.startswith("#"):
                    yield number, [field.strip() for field in text.split(",")]
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        text = f"the gzip is damaged after line {number}" if number else "no gzip"
        faults.append(Fault("readable", None, None, f"{text} ({error})"))
    except OSError as error:
        raise UserError(
            f"submission {path} cannot be read ({error.strerror}): give the path of a .csv.gz, "
            "on the command line as --params=submission=PATH"
        ) from error


def _check_team(number: int, fields: list[str]) -> Iterator[Fault]:
    if fields[0] != TEAM_INFO:
        yield Fault("team_info", number, None, f"begins with {quote_value(fields[0])}, must be {_TEAM_LINE}")
    elif len(fields) != 4:
        yield Fault("team_info", number, None, f"has {len(fields)} fields, must be {_TEAM_LINE}")
    elif not {fields[1], fields[2]} & set(CHALLENGE_TRACKS):
        found = f"{quote_value(fields[1])}, {quote_value(fields[2])}"
        yield Fault("team_info", number, None, f"has {found}, one of which must be {' or '.join(CHALLENGE_TRACKS)}")
    elif not all(fields):
        yield Fault("team_info", number, None, f"has an empty field, must be {_TEAM_LINE}")


def _check_list(
    number: int, fields: list[str], seeds: Mapping[int, frozenset[str]], lines_by_pid: dict[int, int]
) -> Iterator[Fault]:
    """Check a line with a pid and its tracks, and note the line of the pid."""
    name, *uris = fields
    pid = int(name) if _PID.fullmatch(name) else None
    if pid is None:
        yield Fault("pid", number, None, f"begins with {quote_value(name)}, which is no pid")
    elif pid not in seeds:
        yield Fault("unknown_pid", number, pid, "the challenge set has no such pid")
    elif pid in lines_by_pid:
        yield Fault("repeated_pid", number, pid, f"stands on line {lines_by_pid[pid]} already")
    if pid is not None:
        lines_by_pid.setdefault(pid, number)
    if len(uris) != LIST_LENGTH:
        yield Fault("num_tracks", number, pid, f"{len(uris)} tracks instead of {LIST_LENGTH}")
    counts = Counter(uris)
    given = seeds.get(pid, frozenset()) if pid is not None else frozenset()
    breaches = {
        "track_uri": [uri for uri in counts if not TRACK_URI.fullmatch(uri)],
        "repeated_track": [uri for uri, count in counts.items() if count > 1],
        "seed_track": [uri for uri in counts if uri in given],
    }
    for rule, found in breaches.items():
        if found:
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            track = f"track {uris.index(found[0]) + 1} ({quote_value(found[0])})"
            yield Fault(rule, number, pid, f"{track} {_TRACK_FAULTS[rule]}{more}")
