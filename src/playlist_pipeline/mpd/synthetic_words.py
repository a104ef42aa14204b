"""The words of the synthetic world: genres, eras, moods, and what their artists, tracks and playlists are called.

Every name is invented and put together from the lists here, so that a reader can tell a genre from a name. A template
holds one-letter fields: `a b f l n` are a genre's own lists for artists, `x y` for tracks, `e` is the era's word list.
"""

from typing import NamedTuple


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split("|"))


ERAS = ("60s", "70s", "80s", "90s", "00s", "10s")

ERA_WORDS = (
    _words("Paisley|Jukebox|Moonshot|Go-Go|Transistor|Technicolor|Beehive|Drive-In|Mini-Skirt|Sputnik"),
    _words(
        "Lava Lamp|Bell-Bottom|Mirrorball|Eight-Track|Roller Rink|Shag Carpet|Platform Shoe|Sunburst|Disco|Polyester"
    ),
    _words("Cassette|Laser|Arcade|Hairspray|Walkman|VHS|Shoulder-Pad|Answering Machine|Floppy|Rubik"),
    _words("Pager|Dial-Up|Flannel|Modem|Mixtape|Tamagotchi|Payphone|Video Store|Y2K|Slacker"),
    _words("Ringtone|Broadband|Flip Phone|Burned CD|Webcam|Chatroom|Low-Rise|Text Message|Away Message|Emoticon"),
    _words("Wi-Fi|Selfie|Airplane Mode|Hashtag|Drone|Touchscreen|Voicemail Drop|Read Receipt|Incognito|Cloud Backup"),
)


class Genre(NamedTuple):
    """A genre of the world; `lists` maps a field's letter to its words, `seconds` is the usual length of a track."""

    name: str
    weight: float
    eras: tuple[tuple[str, float], ...]
    related: tuple[str, ...]
    seconds: tuple[int, int]
    lists: dict[str, tuple[str, ...]]
    artists: tuple[str, ...]
    tracks: tuple[str, ...]
    albums: tuple[str, ...]
    titles: tuple[str, ...]


GENRES = (
    Genre(
        name="synthwave",
        weight=0.6,
        eras=(("80s", 0.4), ("10s", 0.6)),
        related=("electropop", "techno", "lo-fi beats"),
        seconds=(190, 330),
        lists={
            "a": _words(
                "Neon|Chrome|Turbo|Midnight|Laser|Vector|Hologram|Miami|Pixel|Cobalt|Outrun|Ultraviolet|"
                "Magenta|Nitro|"
                "Cyber|Voltage|Electra|Sunset|Palm|Phantom|Digital|Retro|Starlight|Modular"
            ),
            "b": _words(
                "Harbor|Boulevard|Grid|Runner|Highway|Cassette|Testarossa|Avenue|Skyline|Interceptor|Motel|Circuit|"
                "Pacifica|Shores|Dynamo|Protocol|Arcade|Horizon|Nights|Machine|Mirage|Sector|Exit|Gateway"
            ),
            "n": _words("84|85|86|87|88|89|2049|3000|FM|VHS|64|XR|TX-7|DX|1982|303"),
            "x": _words(
                "Midnight|Neon|Chrome|Overdrive|Moonlit|Turbo|Crimson|Electric|Hologram|Distant|Analog|Endless|"
                "Coastal|Vector|Ultraviolet|Hyperspace|Rain-Soaked|Starlit|Infrared|Synthetic|Gridlock|Afterglow"
            ),
            "y": _words(
                "Drive|Highway|Chase|Cruise|Sunset|Pursuit|Dreams|Skyline|Signal|Memory Bank|Night Shift|Ignition|"
                "Escape|Horizon|Reflections|Transmission|Dashboard|Boulevard|Autopilot|City Lights|Departure|Encore"
            ),
        },
        artists=("{a} {b}", "{a}{b}", "{b} {n}", "{a} {n}", "{e} {b}"),
        tracks=("{x} {y}", "{y} ({x} Mix)", "{x}", "{y} at Dawn", "{e} {y}", "{x} {y}, Pt. 2"),
        albums=("{x} {y}", "{y} EP", "{x} Nights", "The {y} Tapes"),
        titles=_words(
            "synthwave|retrowave|outrun|neon nights|night drive|80s synth|synth|new retro wave|cyberpunk|"
            "vaporwave & co|"
            "midnight drive|retro future|neon|dark synth|synthwave driving|arcade nights"
        ),
    ),
    Genre(
        name="techno",
        weight=0.9,
        eras=(("90s", 0.3), ("00s", 0.3), ("10s", 0.4)),
        related=("synthwave", "electropop", "ambient"),
        seconds=(280, 480),
        lists={
            "a": _words(
                "Kontrol|Sub|Raster|Beton|Acid|Mono|Strobe|Werk|Phase|Null|Warehouse|Tresor Nord|Hertz|Bassline|Loop|"
                "Concrete|Tunnel|Pulse|Delta|Nacht|Vakuum|Oktav|Dub|Filter"
            ),
            "b": _words(
                "Unit|Kollektiv|Division|Fabrik|System|Theory|Static|Klub|Frequenz|Sequence|Department|Modul|Axis|"
                "Syndicate|Halle|Operator|Source|Zone|Formula|Automat|Matrix Zwei|Compound|Method|Lab"
            ),
            "f": _words("Udo|Greta|Karl|Anja|Lukas|Mirko|Tove|Sven-Ole|Katrin|Joris|Ilse|Marek|Nadja|Bruno|Petra"),
            "l": _words("Vollmar|Strelkow|Brandtner|Okko|Zander|Haldane|Kreuzfeld|Mertens|Ostrava|Nachtmann|Reinholt"),
            "x": _words(
                "Acid|Warehouse|Deep|Minimal|Strobe|Peak|Raw|Black|Kinetic|Hypnotic|Rotating|Submerged|Berlin|"
                "Detuned|"
                "Metallic|Closing|Infinite|Parallel|Subsonic|Broken|Magnetic|Industrial"
            ),
            "y": _words(
                "Loop|Kick|Sequence|303|Tunnel|Phase|Pressure|Bassline|Machine|Floor|Groove|Afterhours|Ritual|Rave|"
                "Frequency|System|Tool|Pattern|Oscillator|Basement|Signal|Cycle"
            ),
        },
        artists=("{a} {b}", "{f} {l}", "{a}{b}", "DJ {l}", "{e} {b}"),
        tracks=(
            "{x} {y}",
            "{x} {y} - Original Mix",
            "{y} {x}",
            "{x} {y} - Extended Mix",
            "{e} {y}",
            "{y} - {x} Dub",
        ),
        albums=("{x} {y} EP", "{y} Series", "{x}", "{x} / {y}"),
        titles=_words(
            "techno|house|deep house|rave|minimal|electronic|afterhours|acid techno|edm|club|techno bunker|"
            "house music|"
            "warehouse|festival|4 am|electro"
        ),
    ),
    Genre(
        name="ambient",
        weight=0.6,
        eras=(("70s", 0.2), ("90s", 0.3), ("10s", 0.5)),
        related=("classical", "lo-fi beats", "techno"),
        seconds=(200, 560),
        lists={
            "a": _words(
                "Drift|Still|Glacier|Tidal|Vapor|Lichen|Pale|Distant|Hush|Fjord|Aether|Mist|Low|Slow|Silent|Aurora|"
                "Polar|Meadow|Hollow|Lunar|Cirrus|Floating|Snowfield|Dune"
            ),
            "b": _words(
                "Observatory|Lake|Archive|Garden|Field|Current|Choir|Estuary|Weather|Bloom|Shelter|"
                "Cartography|Plateau|"
                "Delta|Lantern|Tundra|Reservoir|Atlas|Canopy|Harbour|Signal|Season|Depth|Orbit"
            ),
            "x": _words(
                "Drifting|Weightless|Pale|Submerged|Slow|First|Half-Lit|Frozen|Endless|Quiet|Dissolving|"
                "Distant|Early|"
                "Luminous|Hovering|Soft|Northern|Unfolding|Sleeping|Breathing|Blurred|Vast"
            ),
            "y": _words(
                "Snow|Light|Tide|Fog|Horizon|Meadow|Breath|Stillness|Drone|Moss|Rain|Clouds|Water|Drift|Dawn|Silence|"
                "Glacier|Lake|Forest Floor|Satellites|Constellations|Gravity"
            ),
        },
        artists=("{a} {b}", "{b} of {y}", "{a} {a}", "{x} {b}", "{a} & {b}"),
        tracks=("{x} {y}", "{y}", "{y} II", "{x}, {x}", "{y} over {y}", "{x} {y} III"),
        albums=("{y}", "{x} {y}", "Music for {y}", "{y} Studies"),
        titles=_words(
            "ambient|sleep|deep focus|meditation|yoga|drone|calm|nature sounds & more|quiet|float|"
            "ambient sleep|space|"
            "breathe|stillness|white noise"
        ),
    ),
    Genre(
        name="hip-hop",
        weight=1.9,
        eras=(("90s", 0.25), ("00s", 0.3), ("10s", 0.45)),
        related=("r&b", "lo-fi beats", "pop"),
        seconds=(160, 280),
        lists={
            "a": _words(
                "Lil|Young|Big|MC|Kid|Professor|Prince|Yung|Uncle|King|Master|Baby|Captain|Doctor|Papa|Saint|Tha|"
                "Rich|Deacon|Sir"
            ),
            "b": _words(
                "Cadillac|Verse|Knuckles|Chainz-Link|Ledger|Metro North|Boombox|Cipher|Rhymewell|Turntable|Hustle|"
                "Drip|Paperchase|Backspin|Crown|Subwoofer|Sixteen|Corner|Bodega|Freestyle|Vandal|Blockparty|"
                "Tempo|Goldrope"
            ),
            "n": _words("Crew|Clique|Mob|Syndicate|Cartel|Posse|Gang|Family|Squad|Committee|Union|Camp"),
            "l": _words(
                "Westbrick|Eastlane|Southgate|Northline|Dockside|Hillcrest|Riverbend|Ninth Ward Ave|Zone Eight"
            ),
            "x": _words(
                "Corner|Block|Money|Hustle|Street|Paper|Gold|Late Night|Bodega|Uptown|Trap|Freestyle|Concrete|Gutter|"
                "Bars|Payday|Cold|Dirty|Double|Crown|Backseat|Whole"
            ),
            "y": _words(
                "Chains|Talk|Cypher|Dreams|Bounce|Flow|Paper|Season|Anthem|Ride|Racks|Testimony|Verses|Power|Kings|"
                "Summer|Stories|Levels|Whips|Science|Mode|Moves"
            ),
        },
        artists=("{a} {b}", "{l} {n}", "{b} {n}", "{a} {l}", "{a} {e}"),
        tracks=(
            "{x} {y}",
            "{x} {y} (feat. {artist})",
            "{y}",
            "{x} {y} - Remix",
            "{e} {y}",
            "{x} {y} (Skit)",
            "{x} on the {x}",
        ),
        albums=("{x} {y}", "{x} {y} (Deluxe)", "{x} {y} 2", "The {y} Mixtape", "{y} Vol. 1"),
        titles=_words(
            "rap|hip hop|trap|hip-hop|hip hop daily|bars|old school rap|gangsta|new rap|lit|fire|bangers|trap house|"
            "real hip hop|turn up|heat|rap mix|freestyle"
        ),
    ),
    Genre(
        name="lo-fi beats",
        weight=0.6,
        eras=(("00s", 0.2), ("10s", 0.8)),
        related=("hip-hop", "jazz", "ambient"),
        seconds=(90, 190),
        lists={
            "a": _words(
                "sleepy|cozy|dusty|rainy|foggy|mellow|drowsy|paper|velvet|crinkle|tea|cloud|matcha|attic|sunday|"
                "blanket|corduroy|pocket|lazy|window"
            ),
            "b": _words(
                "fox|kettle|notebook|bean|otter|loops|moth|lamp|sampler|pillow|turtle|vinyl|mug|raccoon|beats|"
                "puddle|pencil|heron|toast|drifter"
            ),
            "x": _words(
                "rainy|slow|warm|sleepy|late|lost|faded|quiet|cozy|old|blue|soft|hazy|early|last|empty|sunday|"
                "half-awake|tiny|golden"
            ),
            "y": _words(
                "window|coffee|homework|bus ride|sunday|bookshop|tape|afternoon|notebook|kitchen|naps|balcony|"
                "streetlight|umbrella|leaves|ramen|train|letters|snowday|porch"
            ),
        },
        artists=("{a} {b}", "{a}{b}", "{a}.{b}", "{b} & {b}", "dj {a} {b}"),
        tracks=("{x} {y}", "{y}", "{y} (interlude)", "{x}.", "{y} loop", "{e} {y}"),
        albums=("{x} {y}", "{y} tapes", "beats for {y}", "{x} sketches"),
        titles=_words(
            "lofi|lo-fi beats|study beats|chillhop|lofi hip hop|beats to study to|jazzhop|instrumental|homework|"
            "late night lofi|beats|study|chill beats|coffee & beats"
        ),
    ),
    Genre(
        name="r&b",
        weight=1.1,
        eras=(("60s", 0.15), ("70s", 0.2), ("90s", 0.3), ("10s", 0.35)),
        related=("hip-hop", "pop", "jazz"),
        seconds=(180, 300),
        lists={
            "f": _words(
                "Tamika|Marlon|Denise|Jerome|Aaliza|Terrell|Renita|Otis-Ray|Loretta|Deshawn|Monique|Clarence|Yolanda|"
                "Maurice|Keisha|Ruben|Chantelle|Percy|Gladiola|Tyrell"
            ),
            "l": _words(
                "Braxwell|Honeycutt|Fontaine|Silk|Lovelace|Devereaux|Summers-Hill|Grace|Goodnight|Mayfair|Sinclair|"
                "Holloway|Valentine|Merriweather|Winslow|Tenderly|Bellamy|Soulman"
            ),
            "a": _words("Velvet|Satin|Golden|Silken|Sweet|Honey|Smooth|Midnight|Tender|Candle|Amber|Mahogany"),
            "b": _words("Emotions|Serenade|Affair|Devotions|Sensations|Embrace|Whispers Inc|Tones|Charms|Confessions"),
            "x": _words(
                "Slow|Velvet|Tender|Sweet|Midnight|Candlelit|Silk|Honey|Honest|Burning|Forever|Lonely|Golden|Real|"
                "Faithful|Grown|Late|Soulful|Private|Endless"
            ),
            "y": _words(
                "Love|Touch|Embrace|Kisses|Confession|Desire|Feeling|Slow Jam|Heart|Promise|Sheets|Devotion|Body|"
                "Tears|Groove|Whisper|Ways|Goodbye|Surrender|Affair"
            ),
        },
        artists=("{f} {l}", "{a} {b}", "The {a} {b}", "{f} & the {b}", "The {e} {b}"),
        tracks=(
            "{x} {y}",
            "{y} Me Slow",
            "{x} {y} (feat. {artist})",
            "Give Me Your {y}",
            "{x} {y} - Single Version",
            "{e} {y}",
        ),
        albums=("{x} {y}", "The {y} Sessions", "{y}", "{x} & {x}"),
        titles=_words(
            "r&b|rnb|slow jams|soul|90s r&b|old school r&b|neo soul|candlelight|grown folks|soul classics|bedroom|"
            "soulful|smooth|throwback r&b"
        ),
    ),
    Genre(
        name="jazz",
        weight=0.6,
        eras=(("60s", 0.5), ("70s", 0.2), ("10s", 0.3)),
        related=("bossa nova", "lo-fi beats", "r&b", "classical"),
        seconds=(220, 540),
        lists={
            "f": _words(
                "Thaddeus|Cornelius|Lester|Hattie|Wendell|Ornelle|Bix|Mabel|Dexter-Lee|Horatio|Sonny Boy|Ella-Mae|"
                "Roscoe|Lionel|Dorothea|Chet-Alan|Augustus|Minnie"
            ),
            "l": _words(
                "Brubaker|Monkford|Blakeley|Underhill|Peacock|Quill|Tatterson|Kenworth|Baptiste-Roy|Coltsworth|"
                "Lowland|Chambliss|Rooney|Pettifer|Gillespie-Ward|Marshbanks"
            ),
            "n": _words("Trio|Quartet|Quintet|Sextet|Big Band|Orchestra|Septet|Jazz Ensemble"),
            "b": _words("Blue Cellar|Swing|Bebop|Brass|Uptown|Nocturne|Syncopation|Modal|Ballroom|Cool Street"),
            "x": _words(
                "Blue|Round|Autumn|Smoky|Cool|Lonesome|Swingin'|Mellow|Midnight|Crooked|Sentimental|Sly|Uptown|"
                "Indigo|Tangled|Walkin'|Misty|Half-Past"
            ),
            "y": _words(
                "Monk's Alley|Waltz|Blues|Ballad|Stroll|Bop|Nocturne|Swing|Street|Saxophone|Minor|Serenade|Shuffle|"
                "Rag|Changes|Trumpet|Vamp|Lullaby|Standard"
            ),
        },
        artists=("{f} {l}", "{f} {l} {n}", "The {l} {n}", "{b} {n}"),
        tracks=(
            "{x} {y}",
            "{y} for {f}",
            "{x} {y} - Take 2",
            "{f}'s {y}",
            "{x} {y} - Live at the Blue Cellar",
            "{x} {x} {y}",
        ),
        albums=("{x} {y}", "{x} with Strings", "Live at the {b}", "{f} Plays the {y}"),
        titles=_words(
            "jazz|smooth jazz|jazz classics|rainy jazz|late night jazz|bebop|jazz for dinner|cool jazz|sax|jazz club|"
            "jazzy|jazz vibes|swing|jazz & coffee|blue nights"
        ),
    ),
    Genre(
        name="bossa nova",
        weight=0.4,
        eras=(("60s", 0.5), ("70s", 0.3), ("10s", 0.2)),
        related=("jazz", "latin", "folk"),
        seconds=(130, 260),
        lists={
            "f": _words(
                "João Pedro|Marília|Nara Lúcia|Thiago|Beatriz|Vinícius André|Luiza|Caetana|Edu|Astrudinha|Joaquim|"
                "Inês|Otávio|Flora Maria|Renato|Leonor|Zé Antônio|Clarice"
            ),
            "l": _words(
                "Moreira Lima|de Aragão|Saudoso|Vasconcelos|do Mar|Itapoã|Nogueira|Fonseca|das Ondas|Figueiredo|"
                "Brandão|da Lua|Guimarães|Ribeirinho|Camará|Valença"
            ),
            "n": _words("Trio|Quarteto|Conjunto|Samba Trio"),
            "b": _words("Copacabana|Ipanema Sol|Saudade|Corcovado|Bossa Mar|Jangada|Leblon|Maré Alta"),
            "x": _words(
                "Samba|Canção|Tarde|Manhã|Noite|Chuva|Valsa|Barquinho|Balanço|Praia|Flor|Lua|Onda|Estrada|Rosa"
            ),
            "y": _words(
                "de Saudade|do Mar|em Ipanema|de Verão|da Lua|sem Fim|de Você|do Amor|de Março|na Areia|da Manhã|"
                "do Coração|de Janeiro|ao Luar|da Solidão|na Varanda"
            ),
        },
        artists=("{f} {l}", "{b} {n}", "{f} e {f}", "{l} {n}"),
        tracks=("{x} {y}", "{x} e {x}", "{x} {y} (Ao Vivo)", "{x} {y} - Instrumental", "Uma {x} {y}"),
        albums=("{x} {y}", "{x}", "{f} Canta a {x}", "Bossa {y}"),
        titles=_words(
            "bossa nova|bossa|brasil|mpb|saudade|rio|samba & bossa|ipanema|bossa café|brazilian jazz|café da manhã|"
            "bossa nova covers|domingo|praia"
        ),
    ),
    Genre(
        name="latin",
        weight=1.1,
        eras=(("90s", 0.2), ("00s", 0.3), ("10s", 0.5)),
        related=("pop", "hip-hop", "bossa nova", "reggae"),
        seconds=(170, 260),
        lists={
            "f": _words(
                "Rafa|Yandria|Chayito|Marisol|Don Tito|Luchito|Natalia|El Nene|La Reina|Kevincito|Paloma|Oswaldito|"
                "Yareli|El Príncipe|Camila|Gatillo|Nicolás|La Chica"
            ),
            "l": _words(
                "Calderón|del Barrio|Montero|Santísimo|Malecón|Peralta|de la Calle|Buenaventura|Quiñones|Fuego|"
                "Cienfuegos|Reyes-Mar|Candela|Zambrano|Palmera|Borinquen"
            ),
            "n": _words("y su Combo|& La Familia|y Los Tropicales|& El Coro|y su Orquesta"),
            "b": _words("Perreo|Candela|Caribe|Tumbao|Sabor|Dembow|Fiesta|Rumba"),
            "x": _words(
                "Noche|Fiesta|Calle|Playa|Boca|Locura|Corazón|Luna|Gasolinera|Piel|Cama|Vida|Rumba|Mirada|Señorita"
            ),
            "y": _words(
                "Caliente|de Verano|Loca|Contigo|Prohibida|del Barrio|de Fuego|sin Ti|Tropical|a Mil|"
                "de Anoche|Peligrosa|"
                "en La Habana Vieja|Salvaje|de Miel|Total"
            ),
        },
        artists=("{f} {l}", "{f} {n}", "{f} {b}", "{f} {l} {n}", "Los {b} {l}"),
        tracks=(
            "{x} {y}",
            "{x} {y} (feat. {artist})",
            "{x} {y} - Remix",
            "Tu {x} {y}",
            "Báilame la {x}",
            "{x} {y} - En Vivo",
        ),
        albums=("{x} {y}", "{x}", "{x} & {x}", "El {b}"),
        titles=_words(
            "reggaeton|latin|perreo|fiesta|latino|salsa y merengue|spanish|bachata|música|reggaetón viejo|pa' bailar|"
            "verano|latin party|español|dembow|cumbia|fiesta latina"
        ),
    ),
    Genre(
        name="reggae",
        weight=0.5,
        eras=(("70s", 0.5), ("80s", 0.3), ("00s", 0.2)),
        related=("hip-hop", "latin", "afrobeat"),
        seconds=(190, 320),
        lists={
            "f": _words("Ras|Prince|Sister|Jah|Brother|Natty|Father|Bunny|Winston|Empress|Desmond|Elder|Barrington"),
            "l": _words(
                "Livity|Trenchfield|Zion-I|Ironlion|Hightower|Marcus|Roots|Tenor|Sunbeam|Kingsley|Redgold|Palmyard"
            ),
            "b": _words("Upsetting|Wailing|Dub|Riddim|Roots|Steppers|Mighty|Lion|Heartical|Conquering|Island|Skanking"),
            "n": _words("Lions|Rockers|Brethren|Sound System|Vibration|Players|Disciples|Foundation|Dubbers|Harmonies"),
            "x": _words(
                "Zion|Babylon|Natty|Rasta|Island|Roots|Irie|Jah|Kingston|Dub|Herb|Sunshine|Freedom|Lion|Riddim"
            ),
            "y": _words(
                "Train|Rock|Skank|Calling|Burning|Rising|Love|Dub|Road|Step|Version|Fire|Chant|Rebel|"
                "Redemption Day|Children"
            ),
        },
        artists=("{f} {l}", "The {b} {n}", "{l} & the {n}", "{b} {n}", "{f} {b}"),
        tracks=("{x} {y}", "{x} {y} - Dub", "{y} in {x}", "{x} {y} Version", "{x}, {x}"),
        albums=("{x} {y}", "{y} Dub", "{x} in Dub", "Chant of {x}"),
        titles=_words(
            "reggae|dub|roots reggae|irie|island vibes|ska & reggae|jah|rasta|reggae classics|one love|beach reggae|"
            "dancehall|good vibes"
        ),
    ),
    Genre(
        name="folk",
        weight=1.0,
        eras=(("60s", 0.2), ("70s", 0.2), ("00s", 0.25), ("10s", 0.35)),
        related=("indie rock", "country", "classic rock"),
        seconds=(150, 290),
        lists={
            "f": _words(
                "Rowan|Juniper|Silas|Maeve|Ezra|Wren|Tobias|Hazel|Linnea|Asher|Fern|Gideon|Isolde|Caleb|"
                "Ottilie|Emmett|"
                "Marigold|Abel"
            ),
            "l": _words(
                "Hollis|Thornbury|Lark|Ashgrove|Winterbourne|Fielding|Marrow|Alderman|Fenn|Whitlock|Brook|"
                "Hawthorne Lee|"
                "Sparrow|Underwood|Heath|Lindqvist"
            ),
            "a": _words(
                "Hollow|Timber|Cedar|Lantern|Paper|Wandering|Mossy|River|Fireside|Autumn|Barley|Harvest|Birch|Meadow"
            ),
            "b": _words(
                "Sparrows|Cabin|Creek|Orchard|Pines|Wolves|Fiddle|Ravens|Hymnal|Ferry|Valley|Thistle|Brothers|Lanterns"
            ),
            "x": _words(
                "Wooden|Winter|River|Old|Cabin|Mountain|Lonesome|Harvest|Tall|Paper|Barefoot|Candle|Weathered|"
                "Northern|"
                "Quiet|Wild|Fading|Hollow|Mossy|Amber"
            ),
            "y": _words(
                "Hymn|Song|Letters|Pines|River|Fire|Bird|Lullaby|Letter Home|Orchard|Stone|Wagon|Morning|Boots|Ghost|"
                "Lantern|Ballad|Creek|Bones|Swallow"
            ),
        },
        artists=("{f} {l}", "{a} {b}", "The {a} {b}", "{f} & {f}", "{f} {l} & the {b}"),
        tracks=("{x} {y}", "{y} for {f}", "The {x} {y}", "{x} {y} - Acoustic", "{f}'s {y}", "Where the {y} Goes"),
        albums=("{x} {y}", "The {y}", "{x} {y} & Other Songs", "For {f}"),
        titles=_words(
            "folk|indie folk|acoustic|folk & tales|campfire|autumn|cabin|acoustic covers|singer-songwriter|woods|"
            "folky|banjo|mountain songs|fall 🍂|folk rock|quiet mornings"
        ),
    ),
    Genre(
        name="country",
        weight=1.4,
        eras=(("70s", 0.15), ("90s", 0.3), ("00s", 0.25), ("10s", 0.3)),
        related=("folk", "classic rock", "pop"),
        seconds=(160, 260),
        lists={
            "f": _words(
                "Clint|Dolly Ann|Hank|Waylon|Tammy Lee|Brody|Cody Ray|Loretta Mae|Travis|Jolene|Dwight|Shelby|Buck|"
                "Kacey Jo|Merle|Rhett|Savannah|Colt|Billy Don|Carlene"
            ),
            "l": _words(
                "Dawson|Tackett|Boone|McCrary|Hollister|Ledbetter|Calhoun|Tucker-Hayes|Wheeler|Barlow|Prewitt|"
                "Culpepper|"
                "Stockyard|Gentry|Haggerty|Rawlins"
            ),
            "b": _words(
                "Dirt Road|Whiskey River|Tailgate|Honky-Tonk|Silver Spur|Bluebonnet|Mudflap|Rodeo|Pickup|Backwoods"
            ),
            "n": _words("Band|Outlaws|Ramblers|Boys|Riders|Sisters|Cowhands|Drifters"),
            "x": _words(
                "Dirt Road|Whiskey|Tailgate|Honky-Tonk|Backroad|Small Town|Pickup|Neon Beer|Rodeo|Sweet Tea|Georgia|"
                "Friday Night|Barefoot|Moonshine|Porch Swing|Denim|Gravel|Hometown"
            ),
            "y": _words(
                "Girl|Truck|Heartache|Summer|Goodbye|Prayer|Saturday|Boots|Memories|Cowboy|Angel|Tears|Kind of Love|"
                "Two-Step|Rain|Daddy|Creek|Sunrise"
            ),
        },
        artists=("{f} {l}", "{b} {n}", "The {b} {n}", "{f} & {f}", "{f} {l} {n}"),
        tracks=("{x} {y}", "My {x} {y}", "{x} {y} (feat. {artist})", "{y} on a {x}", "Ain't No {y}", "{e} {y}"),
        albums=("{x} {y}", "{x} State", "{y} & {y}", "Songs for a {y}"),
        titles=_words(
            "country|country roads|new country|old country|country party|country summer|honky tonk|backroads|"
            "tailgate|"
            "country love|yeehaw|bonfire|country gold|red dirt|southern|country mix|boots"
        ),
    ),
    Genre(
        name="classic rock",
        weight=1.2,
        eras=(("60s", 0.25), ("70s", 0.45), ("80s", 0.3)),
        related=("country", "metal", "indie rock", "folk"),
        seconds=(190, 360),
        lists={
            "a": _words(
                "Electric|Silver|Thunder|Crimson|Stone|Wild|Purple|Golden|Iron|Cosmic|Desert|Royal|Mighty|"
                "Black|Lonely|"
                "Savage|Atomic|White"
            ),
            "b": _words(
                "Stallion|Locomotive|Voyage|Wizard|Caravan|Eagle Claw|Tempest|Highway Kings|Dynamite|Hawk|Magnolia|"
                "Bandits|Engine|Serpent|Rodeo Star|Chariot|Nomads|Cyclone"
            ),
            "f": _words("Rick|Jimmy|Stevie|Roger|Bonnie|Eddie|Suzi|Gary|Rod|Tommy|Janice|Pete"),
            "l": _words("Blackstone|Hammond-Rae|Wilder|Steele|Ravenscroft|Marshall-Knox|Danger|Bullock|Starling|Crowe"),
            "x": _words(
                "Highway|Thunder|Midnight|Rolling|Wild|Ramblin'|Electric|Burning|Stone|Rock 'n' Roll|Hard|"
                "Desert|Heavy|"
                "Long-Haired|Silver|Freedom|Runaway|Lightning"
            ),
            "y": _words(
                "Woman|Train|Fever|Rider|Guitar|Stairwell|Boogie|Blues|Rebel|Sky|Machine|Wheels|Nights|Soul|"
                "Wind|Queen|"
                "Rocker|Avenue"
            ),
        },
        artists=("{a} {b}", "The {a} {b}", "{f} {l}", "{f} {l} Band", "The {e} {b}"),
        tracks=("{x} {y}", "{x} {y} - Remastered", "{y} of the {x}", "{x} {y} - Live", "{e} {y}", "Hey, {x} {y}"),
        albums=("{x} {y}", "{y}", "{x} {y} (Remastered)", "Live at the {e} Arena"),
        titles=_words(
            "classic rock|rock|rock classics|70s rock|dad rock|rock and roll|arena rock|guitar heroes|oldies|"
            "rock anthems|driving rock|hair bands|stadium rock|vinyl|rock n roll|dad's garage"
        ),
    ),
    Genre(
        name="punk",
        weight=0.8,
        eras=(("70s", 0.2), ("90s", 0.4), ("00s", 0.4)),
        related=("indie rock", "metal", "classic rock"),
        seconds=(80, 210),
        lists={
            "a": _words(
                "Broken|Rotten|Teenage|Snotty|Bored|Spike|Trash|Sick|Loud|Angry|Cheap|Rabid|Bleach|Nervous|Plastic|"
                "Detention|Skate|Safety-Pin"
            ),
            "b": _words(
                "Skulls|Vandals Club|Riot|Kids|Mohawks|Dropouts|Rejects Anonymous|Razors|Gutter|Homework|Suburbs|"
                "Janitors|Truants|Outcasts Inc|Fist|Brats|Curfew|Sneakers"
            ),
            "x": _words(
                "Stupid|Broken|Teenage|Suburban|Angry|Bored|Skateboard|Detention|Basement|Loud|Fake|Dead-End|Cheap|"
                "Riot|Rotten|Three-Chord|Punk|Anti"
            ),
            "y": _words(
                "Summer|Riot|Kids|System|Homework|Breakup|Parents|Curfew|Mohawk|Society|Weekend|Town|Noise|"
                "Television|"
                "Scars|Garage|Boyfriend|Anarchy"
            ),
        },
        artists=("The {a} {b}", "{a} {b}", "{a} {b}!", "{a} by {b}", "{e} {b}"),
        tracks=("{x} {y}", "I Hate Your {y}", "{y}!", "{x} {y} Song", "No More {y}", "{e} {y}", "{y} Sucks (So Do I)"),
        albums=("{x} {y}", "{y}!", "{x}, {x}", "{y} EP"),
        titles=_words(
            "punk|pop punk|punk rock|emo phase|skate punk|summer tour|angst|emo|mosh pit|hardcore|middle school emo|"
            "punk goes loud|garage|mosh|three chords"
        ),
    ),
    Genre(
        name="indie rock",
        weight=1.3,
        eras=(("90s", 0.2), ("00s", 0.35), ("10s", 0.45)),
        related=("folk", "punk", "electropop", "classic rock"),
        seconds=(170, 290),
        lists={
            "a": _words(
                "Velour|Alpine|Sleepy|Marmalade|Timid|Feral|Awkward|Pastel|Cardigan|Foxglove|Wool|Ivory|"
                "Porcelain|Swimming|"
                "Gentle|Honest|Lemon|Polite|Minor|Modest"
            ),
            "b": _words(
                "Librarians|Swim Team|Telescopes|Bicycles|Postcards|Museum|Foxes|Weekenders|Astronauts|Cartographers|"
                "Hotel Lobby|Typewriters|Wallpaper|Suburbia|Parade|Umbrellas|Deer|Photographs|Tennis|Raincoats"
            ),
            "x": _words(
                "Awkward|Brooklyn|Bicycle|Sleepy|Lemon|Suburban|Foreign|Secondhand|Polaroid|Crooked|Modern|Faded|"
                "Teenage|Swimming|Paper|Nervous|Wasted|Thrift-Store|Rooftop|Quiet"
            ),
            "y": _words(
                "Postcards|Museum|Party|Roommates|Telescope|Cardigan|Kitchen Floor|Weekend|Telephone|"
                "Summer Job|Apology|"
                "Haircut|Parade|Swimming Pool|Typewriter|Bedroom|Photograph|Daydream|Taxi|Crush"
            ),
        },
        artists=("{a} {b}", "The {a} {b}", "{b} & {b}", "{a} {a}", "{e} {b}"),
        tracks=("{x} {y}", "{y}", "{x} {y} (Demo)", "Your {x} {y}", "{e} {y}", "We Were Your {y}", "{y} / {y}"),
        albums=("{x} {y}", "{y}", "{x} {x} {y}", "How to Lose a {y}"),
        titles=_words(
            "indie|indie rock|alternative|alt|indie mix|hipster|indie vibes|college radio|bedroom pop|new indie|"
            "alt rock|shoegaze|indie summer|coffee shop indie|garage rock|discover"
        ),
    ),
    Genre(
        name="metal",
        weight=0.8,
        eras=(("80s", 0.25), ("90s", 0.25), ("00s", 0.25), ("10s", 0.25)),
        related=("punk", "classic rock", "ambient"),
        seconds=(230, 560),
        lists={
            "a": _words(
                "Doom|Grave|Blood|Crypt|Obsidian|Frost|Plague|Iron|Necro|Ash|Funeral|Witch|Serpent|Abyss|Thorn|Bone|"
                "Goat|Tomb|Rune|Winter|Carrion|Sorrow"
            ),
            "b": _words(
                "Throne|Ritual|Monolith|Altar|Hammer|Oath|Wraith|Sepulchre|Cathedral Ruin|Coffin|Horde|Legion|Forge|"
                "Reaper's Hand|Vow|Mourner|Pyre|Bringer|Titan|Covenant|Gallows|Torment"
            ),
            "l": _words(
                "Mørkvald|Skarnheim|Ulvgrav|Dödsmark|Nornskog|Haugbrann|Svartfjell|Grimtåke|Blodvinter|Kaldgrav"
            ),
            "x": _words(
                "Eternal|Black|Burning|Cursed|Ancient|Rotting|Funeral|Blood|Endless|Frozen|Crawling|Unholy|Cyclopean|"
                "Iron|Dying|Forsaken|Hollow|Obsidian|Wretched|Drowned"
            ),
            "y": _words(
                "Throne|Winter|Procession|Ritual|Tomb|Sun|Plague|Altar|Descent|Abyss|Crown|Wolves|Sorrow|"
                "Mountain|Gods|"
                "Graveyard|Oath|War|Prophecy|Monolith"
            ),
        },
        artists=("{a}{b}", "{a} {b}", "{a} {l}", "{b} of {y}", "{l} {b}"),
        tracks=("{x} {y}", "{y} of the {x} {y}", "{x} {y}, Pt. II", "Upon the {x} {y}", "The {y}", "{x} {y} - Live"),
        albums=("{x} {y}", "{y} of {y}", "Songs of the {x} {y}", "{y}"),
        titles=_words(
            "metal|doom metal|heavy metal|death metal|black metal|headbang|metalcore|riffs|brutal|thrash|stoner doom|"
            "heavy|\\m/|metal gym|80s metal|doom & gloom"
        ),
    ),
    Genre(
        name="pop",
        weight=2.2,
        eras=(("80s", 0.15), ("90s", 0.15), ("00s", 0.3), ("10s", 0.4)),
        related=("electropop", "r&b", "latin", "country"),
        seconds=(170, 250),
        lists={
            "f": _words(
                "Mialynn|Zuzu|Ariella|Jaxon|Joycie|Pippa May|Bibi|Harriet|Shawna|Orla Rae|Kiki-Lou|Nolan-John|"
                "Tinsley|Cassie|Avery|Juju|Brielle Ann|Leon|Camden|Kayleen-Sue"
            ),
            "l": _words(
                "Starr|Sparkle|Hart|Lovell|Bloom|Monroe-King|Diamond|Rivers|Swann|Bright|Carter-Jones|Glitz|Ray|"
                "Summerfield|Chance|Valentina"
            ),
            "a": _words("Sugar|Candy|Glitter|Bubble|Cherry|Pink|Star|Sparkling|Kiss|Lollipop"),
            "b": _words("Crush|Avenue|Hearts|Dolls Inc|Direct|Parade|Street Boys|Girls|Pop|Kisses"),
            "x": _words(
                "Baby|Sugar|Party|Summer|Crazy|Tonight|Kiss|Lipstick|Pretty|Glitter|Dance|Teen|Heartbeat|Cherry|"
                "Selfie|Sweet|Champagne|Weekend|Perfect|Superstar"
            ),
            "y": _words(
                "Love|Tonight|Crush|Dance Floor|Heart|Boyfriend|Kisses|Party|Summer|Forever|Lights|Ex|Girl|Hearts|"
                "High Heels|Rumors|Mirror|Goodbye|Heartbreak|Weekend"
            ),
        },
        artists=("{f} {l}", "{f} {a}", "{a} {b}", "{l} {b}", "{f} & {f}"),
        tracks=(
            "{x} {y}",
            "{y}",
            "{x} {y} (feat. {artist})",
            "{x} {y} - Radio Edit",
            "Kiss Me, {x}",
            "{x}, {x}",
            "{e} {y}",
        ),
        albums=("{x} {y}", "{y} (Deluxe)", "{x}", "{y} - Single"),
        titles=_words(
            "pop|top 40|hits|pop hits|throwback|throwbacks|girl power|radio|summer hits|boy bands|pop mix|"
            "bops|guilty pleasures|"
            "current faves|new music|bubblegum|sing along|shower songs"
        ),
    ),
    Genre(
        name="electropop",
        weight=0.9,
        eras=(("80s", 0.25), ("00s", 0.35), ("10s", 0.4)),
        related=("pop", "synthwave", "techno", "indie rock"),
        seconds=(180, 270),
        lists={
            "a": _words(
                "Plastic|Crystal|Robot|Satellite|Disco|Mirror|Glass|Silicone|Cherry|Android|Fluorescent|Moon|"
                "Ice|Pulse|"
                "Kitten|Prism"
            ),
            "b": _words(
                "Ballet|Parade|Kissers|Radio|Antenna|Mannequin|Telephone|Romance|Club|Bodies|Fiction|Computer|Ladies|"
                "Motion|Lovers|Daydream"
            ),
            "f": _words("Roxanne|Linnéa-Li|Effie-Jo|Rosine|Annika|Gilda|Ingeborg|Tuva-Lou|Yelena|Åse|Brynja-Lill"),
            "x": _words(
                "Robot|Plastic|Electric|Digital|Disco|Android|Crystal|Automatic|Neon|Strobe|Satellite|"
                "Mechanical|Pixel|"
                "Artificial|Cyber|Mirror|Fluorescent|Stereo"
            ),
            "y": _words(
                "Heart|Kiss|Dancer|Love Machine|Girl|Romance|Lover|Body|Radio|Feelings|Mannequin|Touch|Dance|Eyes|"
                "Motion|Stereo|Boy|Disco"
            ),
        },
        artists=("{a} {b}", "{f} {a}", "{a} {f}", "{f} & the {b}", "{e} {b}"),
        tracks=("{x} {y}", "{x} {y} - Club Mix", "{x} {y} (feat. {artist})", "{y} 2.0", "{x}, My {y}", "{e} {y}"),
        albums=("{x} {y}", "{y}", "{x} {y} Remixed", "{x} / {x}"),
        titles=_words(
            "electropop|electro pop|synthpop|dance pop|dance|disco nights|80s pop|indie dance|glitter|new wave|"
            "electronic pop|dance party|robots in love|nu disco"
        ),
    ),
    Genre(
        name="j-pop",
        weight=0.5,
        eras=(("80s", 0.35), ("00s", 0.25), ("10s", 0.4)),
        related=("electropop", "pop", "synthwave"),
        seconds=(200, 320),
        lists={
            "f": _words(
                "Harumi|Kaori|Ryoko|Takeshi|Aiko|Natsumi|Shinji|Yumeko|Mariko|Tatsuya|Sayaka|Kenjiro|Hikaru|Miyuki"
            ),
            "l": _words(
                "Tsukino|Hoshizora|Aokawa|Minamoto|Yukishiro|Kazehaya|Sakuraba|Natsukawa|Shiranami|Umino|Asahina"
            ),
            "a": _words("夜の|星空|真夜中|東京|夏色|青い|銀河|雨の|夢見る|桜|海辺の|透明"),
            "b": _words("コンビニ|ドライブ|電車|少女|シティ|放送室|ラジオ|喫茶店|花火|シンフォニー|図書館|レコード"),
            "x": _words(
                "真夜中の|夏の|雨の|最後の|星空の|恋する|ひとりの|プラスチック・|青い|東京|さよなら|透明な|海辺の|眠れない"
            ),
            "y": _words(
                "ドライブ|電話|恋|手紙|約束|花火|メモリー|街角|ランデブー|風|夜|終電|サマー|カセット|メロディ|瞳"
            ),
            "n": _words(
                "Plastic|Summer|Midnight|Tokyo|Moonlight|Bayside|Sakura|Rainy|Sparkle|Starlight|Shibuya|Lonely"
            ),
        },
        artists=("{f} {l}", "{a}{b}", "{l} {f}", "{n} {f}"),
        tracks=("{x}{y}", "{n} {y}", "{x}{y} - {n} Version", "{n} {n}", "{x}{y} (TV size)"),
        albums=("{x}{y}", "{n} {n}", "{y}", "{n} {y}"),
        titles=_words(
            "city pop|j-pop|jpop|シティポップ|夜のドライブ|anime openings|東京の夜|tokyo nights|カラオケ|"
            "j-rock & pop|夏|"
            "japanese|アニメ|作業用BGM|plastic summers"
        ),
    ),
    Genre(
        name="classical",
        weight=0.5,
        eras=(("60s", 0.3), ("80s", 0.2), ("00s", 0.2), ("10s", 0.3)),
        related=("ambient", "jazz"),
        seconds=(120, 540),
        lists={
            "f": _words(
                "Anselm|Clementine|Ludovica|Friedrich-Karl|Ottorino|Mikhaíl|Eszter|Leopold|Ágnes|Théodore|Zdeněk|Beáta"
            ),
            "l": _words(
                "Hartenberg|Vasilenko|d'Aubigny|Szentpéteri|Morgenthal|Castelvecchio|Dvorský|Rosenquist|"
                "Lindenau|Pavlenko"
            ),
            "b": _words(
                "Helvetia|St. Aldwyn|Rosengarten|Danubia|Konzerthaus Ost|Camerata Nord|Arcadia|Collegium Vetus"
            ),
            "n": _words("Philharmonic|Chamber Orchestra|String Quartet|Sinfonietta|Piano Duo|Baroque Soloists|Choir"),
            "x": _words(
                "Nocturne|Sonata|Prelude|Étude|Fugue|Waltz|Adagio|Impromptu|Suite|Concerto|Rondo|Elegy|"
                "Sarabande|Serenade|"
                "Variations|Partita"
            ),
            "y": _words(
                "in C Minor|in D Major|in E-flat Major|in G Minor|in A Minor|in F-sharp Minor|in B-flat Major|"
                "in E Major|"
                "for Strings|for Solo Piano|for Cello|for Left Hand"
            ),
            "a": _words(
                "I. Allegro|II. Andante|III. Presto|I. Adagio|II. Largo|IV. Finale|III. Scherzo|No. 1|No. 2|"
                "No. 3|No. 5|"
                "No. 7|Op. 9|Op. 28|Op. 48"
            ),
        },
        artists=("{f} {l}", "{b} {n}", "{l} {n}", "{f} {l} & {b} {n}"),
        tracks=("{x} {y}", "{x} {y}: {a}", "{x} {y}, {a}", "{l}: {x} {y}", "{l}: {x} {y}: {a}"),
        albums=("{l}: {x}s", "{x} {y}", "{l} & {l}: {x}s", "The Complete {x}s"),
        titles=_words(
            "classical|piano|classical music|study classical|piano & strings|orchestra|opera nights|classical piano|"
            "symphony|nocturnes|reading|peaceful piano|strings|baroque"
        ),
    ),
    Genre(
        name="afrobeat",
        weight=0.5,
        eras=(("70s", 0.3), ("10s", 0.7)),
        related=("reggae", "hip-hop", "latin"),
        seconds=(190, 420),
        lists={
            "f": _words(
                "Ayomola|Temilade|Femi-Jo|Bolaji-Ade|Kwabena|Adunni|Chidera|Olamide-Sun|Yemisi|Kofi|Simisola|Tunde"
            ),
            "l": _words(
                "Adeyinka|Okonkwo-Bright|Lagosman|Mensah-Star|Balogun|Eze|Owusu|Akinlade|Danso|Obiora|Nwachukwu"
            ),
            "b": _words("Lagos|Highlife|Palmwine|Shekere|Accra|Juju|Talking Drum|Harmattan|Savannah|Jollof"),
            "n": _words("Orchestra|All-Stars|Brothers|Kings|Express|Dance Band|International"),
            "x": _words("Lagos|Jollof|Mama|Naija|Accra|Shekere|Palmwine|Wahala|Sunday|Oga|Body|Highlife|Joromi|Owambe"),
            "y": _words(
                "Party|Vibration|Dey Move|No Dey|Rhythm|Lover|Shuffle|Fever|Groove|Melody|Sweet|Palaver|Bounce|Dance"
            ),
        },
        artists=("{f} {l}", "{b} {n}", "{l} {n}", "{f} & the {b} {n}"),
        tracks=("{x} {y}", "{x} {y} (feat. {artist})", "{x} {x}", "{y} for {x}", "{x} {y}, Pts. 1 & 2"),
        albums=("{x} {y}", "{x} to the World", "{b} {y}", "{y}"),
        titles=_words(
            "afrobeats|afrobeat|naija|lagos nights|highlife|afro vibes|african party|amapiano & afro|jollof|owambe|"
            "afro|african heat|afropop"
        ),
    ),
)


class Mood(NamedTuple):
    """An occasion that draws on several genres, the first the most."""

    name: str
    weight: float
    genres: tuple[str, str, str, str]
    titles: tuple[str, ...]


MOODS = (
    Mood(
        "gym",
        1.5,
        ("hip-hop", "techno", "metal", "pop"),
        _words(
            "gym|workout|gym 💪|beast mode|lift|running|cardio|pump|run|Workout|treadmill|leg day|тренировка|운동|gains"
        ),
    ),
    Mood(
        "study",
        1.0,
        ("lo-fi beats", "ambient", "classical", "jazz"),
        _words(
            "study|focus|homework|Study 📚|studying|concentrate|finals week|deep work|library|work|office|لليل والدراسة"
        ),
    ),
    Mood(
        "sleep",
        0.8,
        ("ambient", "classical", "folk", "lo-fi beats"),
        _words("sleep|bedtime|😴|Sleep|goodnight|nap time|lullabies|zzz|sleepy|dream|музыка для сна|おやすみ"),
    ),
    Mood(
        "party",
        1.4,
        ("pop", "hip-hop", "latin", "electropop"),
        _words(
            "party|Party 🎉|turn up|pregame|friday night|house party|dance|lit 🔥|new years|bday|birthday|"
            "saturday|🎉🎉🎉|вечеринка"
        ),
    ),
    Mood(
        "road trip",
        1.0,
        ("classic rock", "country", "indie rock", "pop"),
        _words(
            "road trip|Road Trip|driving|car|on the road|long drive|windows down|roadtrip 🚗|highway|cruisin|"
            "car jams|travel"
        ),
    ),
    Mood(
        "rainy day",
        0.8,
        ("jazz", "folk", "lo-fi beats", "indie rock"),
        _words("rainy day|rain|rainy jazz|☔|cloudy|grey skies|rainy days|november|pluie|雨の日|cozy|stormy"),
    ),
    Mood(
        "summer",
        1.3,
        ("pop", "reggae", "latin", "afrobeat"),
        _words("summer|Summer ☀️|beach|pool|summer 16|summer vibes|sunshine|pool party|island|été|verano|boat|sun ☀"),
    ),
    Mood(
        "sad",
        1.0,
        ("indie rock", "folk", "r&b", "pop"),
        _words("sad|feels|breakup|💔|sad songs|cry|heartbreak|in my feelings|missing you|tears|lonely|3am|грусть"),
    ),
    Mood(
        "coffee",
        0.7,
        ("bossa nova", "jazz", "folk", "lo-fi beats"),
        _words(
            "coffee|coffee shop|morning|sunday morning|brunch|café|breakfast|☕|slow mornings|cafe vibes|kahvi|кофе"
        ),
    ),
    Mood(
        "dinner",
        0.6,
        ("jazz", "bossa nova", "r&b", "classical"),
        _words("dinner|dinner party|cooking|wine night|date night|cocktails|kitchen|wine 🍷|italian dinner|cena"),
    ),
    Mood(
        "dance",
        0.9,
        ("techno", "electropop", "latin", "afrobeat"),
        _words("dance|club|EDM|dancing|rave|shake it|move|zumba|dancefloor|💃|tanzen|ночь"),
    ),
    Mood(
        "rage",
        0.6,
        ("metal", "punk", "hip-hop", "techno"),
        _words("angry|rage|loud|hate|heavy|mosh|headphones on|gaming|scream|🤘|gamer|noise"),
    ),
    Mood(
        "love",
        0.9,
        ("r&b", "pop", "folk", "country"),
        _words("love|wedding|love songs|❤️|first dance|us|for you|date|romance|our songs|valentine|amor|愛"),
    ),
    Mood(
        "chill",
        1.6,
        ("indie rock", "lo-fi beats", "r&b", "electropop"),
        _words("chill|Chill|chill vibes|vibes|relax|mellow|chillin|lazy|good vibes|✌️|easy|calm|chill 🌊|отдых"),
    ),
    Mood(
        "throwback",
        1.2,
        ("pop", "r&b", "hip-hop", "punk"),
        _words(
            "throwback|throwbacks|tbt|old school|nostalgia|middle school|childhood|oldies but goodies|"
            "Throwback Thursday|90s kid"
        ),
    ),
    Mood(
        "night drive",
        0.7,
        ("synthwave", "electropop", "j-pop", "techno"),
        _words("night drive|late night|midnight|2am|city lights|nights|drive|after dark|insomnia|夜|night 🌃|νύχτα"),
    ),
)

EVERYTHING_TITLES = _words(
    "music|my music|everything|random|playlist|all|stuff|mix|favorites|faves|songs|jams|good stuff|new|tunes|"
    "main|my jams|"
    "idk|whatever|the playlist|misc|100|starred|liked|current|ipod|phone|music 🎵|🎧|.|xoxo|good music|mixed|"
    "yes|all time|"
    "best|life|repeat|top|daily|the mix|on repeat|música|музыка|음악|音楽|musique|μουσική"
)

ERA_TITLES = (
    _words("60s|60's|sixties|the 60s|60s hits"),
    _words("70s|70's|seventies|the 70s|70s hits"),
    _words("80s|80's|eighties|the 80s|80s hits|80s night"),
    _words("90s|90's|nineties|the 90s|90s hits|90s kid"),
    _words("2000s|00s|early 2000s|2000's|2000s hits|mid 2000s"),
    _words("2010s|2010s hits|new stuff|this decade|the 2010s"),
)

EMOJI = _words("🔥|❤️|😍|🎵|🎶|✨|💯|🌊|🌙|☀️|🎧|💃|🌴|😎|💔|🍂|❄️|🌸|👑|💀|🙌|🤘|🚗|🍻|😭|💜|⚡|🦋|🌈|👽")

PEOPLE = _words(
    "mia|jonas|emma|liam|sofia|noah|ava|lucas|zoe|max|ella|ben|anna|leo|mom|dad|grandma|kate|sam|jess|tyler|maddie|"
    "chris|nina|omar|priya|yuki|carlos|elena|bea|ivan|sara|josh|hannah|alex|nico|lily|jack|maya|ryan|grace|"
    "tom|aisha|kim"
)

PLACES = _words(
    "Velmora|Ostrand|Calder Bay|Northmere|Port Elian|Sable Creek|Quillon|Harrowgate Vale|Tessaly|Brightwater|"
    "Aldermoor|"
    "Kestrel Point|Saint Orla|Dunmarrow|Vantry|Lowell Flats|Marisco|Eastering|Grandhaven|Pellworth|"
    "Novaya Luka|Rio Claro Sul|"
    "Hinterdorf|Ashby Cross|Lake Orrin|Fenwick Row|Corvallo|Stonebrook|Mirador Alto|Winterfold|Isle Tarn|Oakhollow|"
    "Redmarsh|Sundby|Castelmar|Thornquay|Blackpine|Ulverstadt|Santa Rufina|Gullhaven|Bergamot Hill|Wexcombe"
)

DESCRIPTIONS = _words(
    "songs i can&#x27;t stop playing|{genre} for every day|the best {genre} i know, add yours!|for {person} &lt;3|"
    "what i listen to at work|{genre} &amp; more|updated every friday|made for the drive to {place}|"
    "no skips|summer of {year} in songs|a bit of everything, mostly {genre}|not finished yet|"
    "for those nights when you can&#x27;t sleep|{person}&#x27;s wedding, {place}, {year}|all killer no filler|"
    "Listen on shuffle.|my {genre} phase|cosas que me gustan ❤️|tracks {person} showed me|{era} {genre}, nothing else"
)
