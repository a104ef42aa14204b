import pytest

from playlist_pipeline.corpus.vocabulary import UNK
from playlist_pipeline.errors import UserError
from playlist_pipeline.generation.lookup import (
    AmbiguousSeed,
    MalformedSeed,
    UnknownSeed,
    make_printable,
    quote_text,
    resolve_seeds,
)

ABSENT = "spotify:track:" + "x" * 22


def make_uri(number):
    return f"spotify:track:{number:022d}"


def resolve_uris(seeds, database, vocabulary):
    return [seed.uri for seed in resolve_seeds(seeds, database, vocabulary).seeds]


@pytest.mark.parametrize(
    "given",
    [
        "spotify:track:{}",
        "  spotify:track:{}  ",
        "https://open.spotify.com/track/{}",
        "http://open.spotify.com/track/{}?si=0a1b2c",
        "open.spotify.com/track/{}",
        "https://open.spotify.com/intl-de/track/{}?si=1&nd=1#part",
        "https://open.spotify.com/embed/track/{}/",
    ],
)
def test_uri_and_links(given, database, vocabulary):
    text = given.format(f"{2:022d}")
    (seed,) = resolve_seeds([text], database, vocabulary).seeds
    assert (seed.given, seed.uri, seed.name, seed.artist, seed.album) == (
        text,
        make_uri(2),
        "Don't Stop Me Now",
        "Queen",
        "Jazz",
    )
    assert seed.known
    assert vocabulary.decode([seed.token]) == [make_uri(2)]


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("Queen - Don't Stop Me Now", 2),
        ("QUEEN - don't stop me now", 2),
        ("queen \u2013 Don't Stop Me Now", 2),
        ("björk - JÓGA", 4),
        ("宇多田ヒカル - First Love", 5),
        ("Earth, Wind & Fire - September", 6),
        ("AC/DC - T.N.T. - Live", 9),
        ("The Muppets - Bohemian Rhapsody", 3),
        ("Zoë - Only in the test part", 11),
    ],
)
def test_exact_text(given, number, database, vocabulary):
    resolved = resolve_seeds([given], database, vocabulary)
    assert [seed.uri for seed in resolved.seeds] == [make_uri(number)]
    assert resolved.notes == ()


def test_words_that_fit_one_song_are_taken_with_a_note(database, vocabulary):
    resolved = resolve_seeds(["september earth wind"], database, vocabulary)
    assert [seed.uri for seed in resolved.seeds] == [make_uri(6)]
    assert resolved.notes == (
        'seed 1 ("september earth wind") is taken as Earth, Wind & Fire - September (The Best Of, Vol. 1) '
        + make_uri(6),
    )


def test_most_frequent_of_several_versions_is_taken(database, vocabulary):
    resolved = resolve_seeds(["Queen - Bohemian Rhapsody"], database, vocabulary)
    assert [seed.uri for seed in resolved.seeds] == [make_uri(1)]
    assert resolved.notes == (
        f'seed 1 ("Queen - Bohemian Rhapsody") is Queen - Bohemian Rhapsody (Greatest Hits) {make_uri(1)}, '
        f"the version most frequent in training; others: {make_uri(0)}",
    )


def test_several_songs_are_listed(database, vocabulary):
    with pytest.raises(AmbiguousSeed) as caught:
        resolve_seeds(["Björk - Jóga", "Bohemian Rhapsody"], database, vocabulary)
    assert str(caught.value) == (
        'seed 2 ("Bohemian Rhapsody") matches 2 songs, give the URI of one: '
        f"The Muppets - Bohemian Rhapsody (The Green Album) {make_uri(3)}; "
        f"Queen - Bohemian Rhapsody (Greatest Hits) {make_uri(1)}"
    )
    assert [row.uri for row in caught.value.candidates] == [make_uri(3), make_uri(1)]


def test_two_places_for_the_dash_are_two_songs(database, vocabulary):
    with pytest.raises(AmbiguousSeed, match="matches 2 songs") as caught:
        resolve_seeds(["Simon - Garfunkel - Mrs. Robinson"], database, vocabulary)
    assert {row.uri for row in caught.value.candidates} == {make_uri(7), make_uri(8)}


def test_unknown_text_names_the_nearest(database, vocabulary):
    with pytest.raises(UnknownSeed, match=r'^seed 1 \("Queeen - Bohemian Rapsody"\) is not in the catalog') as caught:
        resolve_seeds(["Queeen - Bohemian Rapsody"], database, vocabulary)
    assert "Bohemian Rhapsody" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_without_a_match_or_a_near_name(database, vocabulary):
    with pytest.raises(UnknownSeed, match="is not in the catalog"):
        resolve_seeds(["\u0950\u0950\u0950"], database, vocabulary)


@pytest.mark.parametrize(
    "given",
    [
        "spotify:track:short",
        "spotify:track:" + "x" * 23,
        "Spotify:Track:" + "x" * 22,
        "spotify:album:" + "x" * 22,
        "spotify:local:Artist:Album:Title:200",
        "https://open.spotify.com/album/" + "x" * 22,
        "https://open.spotify.com/track/",
        "https://open.spotify.com",
        "https://open.spotify.com.evil.example/track/" + "x" * 22,
        "https://[",
        "https://example.com/track/" + "x" * 22,
    ],
)
def test_malformed_uri_is_refused(given, database, vocabulary):
    with pytest.raises(MalformedSeed, match=r"^seed 2 \(.* names no track: give spotify:track:"):
        resolve_seeds(["Björk - Jóga", given], database, vocabulary)


@pytest.mark.parametrize("given", ["", "  ", "\t"])
def test_empty_seed_is_refused(given, database, vocabulary):
    with pytest.raises(MalformedSeed, match="is empty"):
        resolve_seeds([given], database, vocabulary)


def test_unknown_uris_become_unk_and_are_named(database, vocabulary):
    resolved = resolve_seeds([ABSENT, make_uri(11), make_uri(4)], database, vocabulary)
    assert resolved.tokens.tolist() == [UNK, UNK, *vocabulary.encode([make_uri(4)])]
    assert [(seed.uri, seed.name) for seed in resolved.unknown] == [
        (ABSENT, None),
        (make_uri(11), "Only in the test part"),
    ]


def test_seed_given_twice_is_used_once(database, vocabulary):
    resolved = resolve_seeds([make_uri(4), make_uri(2), "Björk - Jóga", make_uri(2)], database, vocabulary)
    assert [seed.uri for seed in resolved.seeds] == [make_uri(4), make_uri(2)]
    assert resolved.notes == (
        f'seed 3 ("Björk - Jóga") repeats "{make_uri(4)}" and is used once',
        f'seed 4 ("{make_uri(2)}") repeats "{make_uri(2)}" and is used once',
    )


def test_no_seeds(database, vocabulary):
    resolved = resolve_seeds([], database, vocabulary)
    assert resolved.seeds == resolved.notes == ()
    assert resolved.tokens.tolist() == []


def test_without_catalog_only_uris(vocabulary):
    (seed,) = resolve_seeds([make_uri(4)], None, vocabulary).seeds
    assert (seed.known, seed.name) == (True, None)
    with pytest.raises(UserError, match="needs the catalog"):
        resolve_seeds(["Björk - Jóga"], None, vocabulary)


@pytest.mark.parametrize("given", ['"', "*", "a AND", "NEAR(", "name:x", "' OR 1=1 --", "-", "- -", "%", "\x00", "("])
def test_texts_that_mean_something_to_a_search_engine(given, database, vocabulary):
    with pytest.raises((UnknownSeed, AmbiguousSeed)):
        resolve_seeds([given], database, vocabulary)


def test_where_begins_errors_and_notes(database, vocabulary):
    with pytest.raises(UnknownSeed, match=r"^playlist 3, seed 1 "):
        resolve_seeds(["zzzz"], database, vocabulary, where="playlist 3, ")


def test_make_printable_and_quote():
    assert (
        make_printable("a\tb\x07\x7f\x85\u2028\u202eé👩\u200d🎤\udc80")
        == "a␉b␇\ufffd\ufffd\ufffd\ufffdé👩\u200d🎤\ufffd"
    )
    assert quote_text("a" * 200) == '"' + "a" * 79 + '…"'
