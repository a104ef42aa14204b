"""The page in a real browser; the fixture ``open_page`` lets nothing pass that complains or asks another server."""

import json
import re

import pytest

from playlist_pipeline.errors import UserError
from playlist_pipeline.generation import formats

expect = pytest.importorskip("playwright.sync_api").expect
axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")

ABSENT = "spotify:track:" + "x" * 22
MARKUP = "<img src=x onerror=\"document.title='broken'\"><b>bold</b> & co"
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
LOOKS = [{"color_scheme": "light"}, {"color_scheme": "dark"}, {**PHONE, "color_scheme": "light"}]
LOOK_NAMES = ["light", "dark", "phone"]


def make_uri(number):
    return f"spotify:track:{number:022d}"


def search(page, text):
    page.locator("#search").fill("")
    page.locator("#search").press_sequentially(text)
    page.wait_for_selector("#found [role=option]")


def add(page, text):
    before = page.locator("#seeds > li").count()
    search(page, text)
    page.keyboard.press("Enter")
    page.locator("#seeds > li").nth(before).wait_for()


def complete(page, button="#complete"):
    page.click(button)
    page.wait_for_selector("#playlist[aria-busy=false]")


def list_titles(page, where="#tracks"):
    return page.locator(f"{where} .title bdi").all_text_contents()


def test_search_add_and_complete_by_keyboard(open_page):
    page = open_page()
    assert page.locator("#no-seeds").is_visible()
    assert page.locator("#no-playlist").is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the playlist"
    page.focus("#search")
    page.keyboard.type("rotating")
    page.wait_for_selector("#found [role=option]")
    box, options = page.get_by_role("combobox", name="Add a track"), page.locator("#found [role=option]")
    assert options.count() == 2
    assert box.get_attribute("aria-expanded") == "true"
    first = box.get_attribute("aria-activedescendant")
    page.keyboard.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") != first
    assert page.locator("[role=option][aria-selected=true]").get_attribute("id") == box.get_attribute(
        "aria-activedescendant"
    )
    chosen = options.nth(1).locator("bdi").first.text_content()
    page.keyboard.press("Enter")
    assert list_titles(page, "#seeds") == [chosen]
    assert page.get_by_role("status").text_content().strip() == f"{chosen} by DJ Kreuzfeld added."
    assert (box.input_value(), box.get_attribute("aria-expanded")) == ("", "false")

    page.keyboard.type("rotating")
    page.wait_for_selector("#found [role=option]")
    page.keyboard.press("Escape")
    assert not page.locator("#found").is_visible()
    assert box.input_value() == "rotating"
    page.keyboard.press("Escape")
    assert box.input_value() == ""

    page.fill("#title", "late night")
    page.fill("#length", "12")
    page.keyboard.press("Enter")
    page.wait_for_selector("#tracks > li")
    assert page.locator("#tracks > li").count() == 12
    assert list_titles(page)[0] == chosen
    assert page.locator("#playlist-heading").text_content() == "late night"
    assert "12 tracks" in page.get_by_role("status").text_content()


def test_enter_takes_what_is_typed_however_fast(open_page):
    page = open_page()
    search(page, "rotating system")
    # The list still shows what was found before.
    page.fill("#search", "rotating machine")
    page.keyboard.press("Enter")
    page.wait_for_selector("#seeds > li")
    assert list_titles(page, "#seeds") == ["Rotating Machine"]
    page.fill("#search", ABSENT)
    page.keyboard.press("Enter")
    page.locator("#seeds > li").nth(1).wait_for()
    assert page.locator("#seeds .unknown").count() == 1


def test_what_is_typed_without_choosing(open_page):
    page = open_page()
    page.fill("#search", ABSENT)
    expect(page.locator("#search-note")).to_contain_text("No track is found")
    page.keyboard.press("Enter")
    page.wait_for_selector("#seeds > li")
    assert page.locator("#seeds .unknown").text_content() == "unknown to the model"
    page.fill("#search", "zzzz")
    expect(page.locator("#search-note")).to_contain_text("No track is found for “zzzz”")
    page.keyboard.press("Enter")
    expect(page.locator("#search-note")).to_contain_text('"zzzz" is not in the catalog')
    add(page, "rotating system")
    search(page, "rotating system")
    page.keyboard.press("Enter")
    assert "is a seed already" in page.locator("#search-note").text_content()
    complete(page)
    assert page.locator("#remarks .unknown").text_content() == f"Unknown to the model: {ABSENT}"
    assert page.locator("#tracks .unknown").count() == 1


def test_lock_and_regenerate_the_rest(open_page):
    page = open_page()
    add(page, "rotating system")
    page.fill("#length", "10")
    complete(page)
    first = list_titles(page)
    locks = page.locator("#tracks .lock")
    assert locks.count() == 9
    locks.nth(1).click()
    locks.nth(4).click()
    assert locks.nth(1).get_attribute("aria-pressed") == "true"
    assert page.locator("#unlock").text_content() == "Unlock 2 tracks"
    complete(page, "#regenerate")
    second = list_titles(page)
    assert [second[place] for place in (0, 2, 5)] == [first[place] for place in (0, 2, 5)]
    loose = [title for place, title in enumerate(first) if place not in (0, 2, 5)]
    assert not set(loose) & set(second)
    assert page.locator("#tracks > li.locked").count() == 2
    assert page.locator("#seed").input_value() == "1"
    page.click("#unlock")
    assert page.locator("#tracks > li.locked").count() == 0
    complete(page, "#regenerate")
    assert set(list_titles(page)) & set(second) == {first[0]}


def test_why_a_track_was_chosen(open_page, recommender):
    page = open_page()
    add(page, "rotating system")
    add(page, "rotating machine")
    complete(page)
    why = page.locator("#tracks .why").first
    title = list_titles(page)[2]
    assert why.get_attribute("aria-label") == f"Why {title}?"
    why.press("Enter")
    page.wait_for_selector(".reason table")
    assert why.get_attribute("aria-expanded") == "true"
    (track,) = [row for row in recommender.search(title)["uri"] if page.locator(f"a[href$='{row[14:]}']").count()]
    nearest = recommender.explain(track, [make_uri(0), make_uri(1)]).iloc[0]
    text = page.locator(".reason").first.text_content()
    assert f"Nearest seed: {nearest['name']} by DJ Kreuzfeld" in text
    assert f"{nearest['together']} of {nearest['with_seed']}" in text
    assert f"{nearest['similarity']:.2f}" in text
    why.click()
    assert not page.locator(".reason").first.is_visible()


def test_without_seeds_there_is_nothing_to_compare(open_page):
    page = open_page()
    page.fill("#length", "3")
    complete(page)
    assert page.locator("#tracks > li").count() == 3
    page.locator("#tracks .why").first.click()
    assert "no seed to compare with" in page.locator(".reason").first.text_content()


def test_paste_names_what_it_cannot_use(open_page):
    page = open_page()
    page.click("#paste summary")
    lines = [make_uri(0), f"https://open.spotify.com/track/{make_uri(9)[14:]}", "zzzz", ABSENT, make_uri(0)]
    page.fill("#lines", "\n".join(lines))
    page.click("#add-lines")
    page.wait_for_selector("#refused .alert")
    assert page.locator("#seeds > li").count() == 3
    assert page.locator("#seeds .unknown").count() == 1
    assert page.locator("#refused").text_content().startswith('Line 3: "zzzz" is not in the catalog')
    # What was not added stays to be mended.
    assert page.locator("#lines").input_value() == "zzzz"


def test_a_list_can_be_pasted_into_the_search(open_page):
    page = open_page()
    page.focus("#search")
    page.evaluate(
        """text => {
          const data = new DataTransfer();
          data.setData("text", text);
          const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
          document.getElementById("search").dispatchEvent(event);
        }""",
        f"{make_uri(0)}\n{make_uri(9)}\n",
    )
    page.locator("#seeds > li").nth(1).wait_for()
    assert page.locator("#seed-count").text_content() == "2 tracks"


def test_seeds_are_reordered_and_removed(open_page):
    page = open_page()
    for text in ("rotating system", "rotating machine", "track 9"):
        add(page, text)
    page.get_by_role("button", name="Move Rotating System down").click()
    assert list_titles(page, "#seeds") == ["Rotating Machine", "Rotating System", "Track 9"]
    # The focus goes along, so that one can press again; at the end the other button takes it.
    page.keyboard.press("Enter")
    assert list_titles(page, "#seeds") == ["Rotating Machine", "Track 9", "Rotating System"]
    assert page.evaluate("document.activeElement.ariaLabel") == "Move Rotating System up"
    page.keyboard.press("Alt+ArrowUp")
    assert list_titles(page, "#seeds") == ["Rotating Machine", "Rotating System", "Track 9"]
    assert "is now seed 2 of 3" in page.get_by_role("status").text_content()
    page.locator("#seeds .grip").nth(2).drag_to(page.locator("#seeds > li").first)
    assert list_titles(page, "#seeds") == ["Track 9", "Rotating Machine", "Rotating System"]
    page.get_by_role("button", name="Remove Rotating Machine").click()
    assert list_titles(page, "#seeds") == ["Track 9", "Rotating System"]
    assert page.evaluate("document.activeElement.ariaLabel") == "Remove Rotating System"
    page.click("#clear")
    assert page.locator("#no-seeds").is_visible()


def test_awkward_names_are_shown_as_text(open_page):
    page = open_page()
    page.click("#paste summary")
    page.fill("#lines", "\n".join(make_uri(number) for number in (5, 6, 7, 8, 9)))
    page.click("#add-lines")
    page.locator("#seeds > li").nth(4).wait_for()
    page.fill("#title", MARKUP)
    page.fill("#length", "5")
    complete(page)
    expected = [MARKUP, "שלום עולם", "\u202etitle turned\u202c 👩‍🎤🎶", "Two\nlines\tand a bell\x07", "Track 9"]
    for where in ("#seeds", "#tracks"):
        assert list_titles(page, where) == expected
        assert page.locator(f"{where} :is(img, b, script)").count() == 0
    assert "<script>alert(1)</script>" in page.locator("#tracks .artist bdi").all_text_contents()
    assert page.locator("#playlist-heading").text_content() == MARKUP
    assert page.title() == "Complete a playlist"
    # Each name has a direction of its own.
    hebrew = page.locator("#tracks .title bdi").nth(1)
    assert hebrew.evaluate("element => getComputedStyle(element).direction") == "rtl"
    assert hebrew.evaluate("element => getComputedStyle(element).unicodeBidi") == "isolate"
    search(page, make_uri(5))
    assert page.locator("#found bdi").first.text_content() == MARKUP
    assert page.locator("#found :is(img, b)").count() == 0


def test_controls_have_the_servers_bounds_and_reach_it(open_page):
    page = open_page()
    length = page.locator("#length")
    assert [length.get_attribute(name) for name in ("min", "max")] == ["1", "500"]
    assert length.input_value() == "30"
    page.click("#more summary")
    page.fill("#allow_artists", "DJ Kreuzfeld\n")
    page.fill("#max_per_artist", "2")
    page.select_option("#order", "similar")
    page.uncheck("#unique_songs")
    page.fill("#length", "4")
    complete(page)
    assert set(page.locator("#tracks .artist").all_text_contents()) == {"DJ Kreuzfeld"}
    assert page.locator("#tracks > li").count() == 2
    assert "no more that may be added" in page.locator("#remarks").text_content()
    assert "order similar" in page.locator("#remarks").text_content()
    page.click("#reset")
    assert (length.input_value(), page.locator("#allow_artists").input_value()) == ("30", "")
    assert page.locator("#unique_songs").is_checked()
    # A value that is not allowed is not sent, and shown where it is hidden.
    page.fill("#max_per_album", "0")
    page.click("#more summary")
    page.click("#complete")
    assert page.locator("#max_per_album").is_visible()
    assert page.evaluate("document.activeElement.id") == "max_per_album"
    assert page.locator("#tracks > li").count() == 2


def test_waiting_is_shown(open_page, recommender):
    page = open_page(reduced_motion="reduce")
    recommender.gate.clear()
    page.click("#complete")
    page.wait_for_selector("#playlist[aria-busy=true]")
    assert page.locator("#progress").is_visible()
    assert page.locator("#complete").is_disabled()
    assert page.evaluate("document.getAnimations().length") == 0
    recommender.gate.set()
    page.wait_for_selector("#tracks > li")
    assert not page.locator("#progress").is_visible()
    assert page.locator("#complete").is_enabled()


def test_errors_are_told_and_go_away(open_page, recommender, monkeypatch):
    page = open_page()
    page.click("#more summary")
    page.fill("#deny_artists", "Nobody")
    complete(page)
    alert = page.get_by_role("alert")
    assert "no artist of the catalog has this name" in alert.text_content()
    page.fill("#deny_artists", "")
    complete(page)
    assert alert.count() == 0
    assert page.locator("#tracks > li").count() == 30
    monkeypatch.setattr(recommender, "complete_many", lambda *_, **__: (_ for _ in ()).throw(UserError("<b>no</b>")))
    complete(page)
    assert "<b>no</b>" in alert.text_content()
    page.route("**/api/complete", lambda route: route.abort())
    complete(page)
    assert "The server does not answer." in alert.text_content()
    # What was there before stays.
    assert page.locator("#tracks > li").count() == 30
    assert len(open_page.complaints) == 3
    assert all("Failed to load resource" in complaint for complaint in open_page.complaints)
    open_page.complaints.clear()


def test_the_page_is_as_it_was_after_a_reload(open_page):
    page = open_page()
    add(page, "rotating system")
    page.fill("#title", "late night")
    page.fill("#length", "7")
    complete(page)
    page.locator("#tracks .lock").nth(2).click()
    titles = list_titles(page)
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert list_titles(page) == titles
    assert list_titles(page, "#seeds") == ["Rotating System"]
    assert (page.locator("#title").input_value(), page.locator("#length").input_value()) == ("late night", "7")
    assert page.locator("#tracks > li.locked .number").text_content() == "4"
    page.evaluate("sessionStorage.setItem('playlist_pipeline', '{\"seeds\": 1}')")
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert not page.get_by_role("alert").is_visible()
    assert page.locator("#no-seeds").is_visible()
    assert page.locator("#title").input_value() == ""


def test_copy_and_download_in_each_format(open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    add(page, "rotating system")
    page.fill("#length", "5")
    with page.expect_response("**/api/complete") as completed:
        complete(page)
    playlist = completed.value.json()
    assert page.locator("#format option").count() == len(formats.FORMATS)
    for name, format_ in formats.FORMATS.items():
        page.select_option("#format", name)
        text = formats.format_as([playlist], name)
        with page.expect_download() as downloading:
            page.click("#download")
        assert downloading.value.suggested_filename == f"playlist{format_.suffix}"
        downloaded = downloading.value.path().read_text("utf-8")
        # JavaScript writes 1.0 as 1.
        assert json.loads(downloaded) == json.loads(text) if name == "json" else downloaded == text
        page.click("#copy")
        expect(page.locator("#status")).to_contain_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == downloaded
        page.evaluate("document.getElementById('status').textContent = ''")


def fill_page(page):
    """Bring everything that the page can show to light."""
    add(page, "rotating system")
    page.click("#paste summary")
    page.fill("#lines", f"{ABSENT}\nzzzz")
    page.click("#add-lines")
    page.wait_for_selector("#refused .alert")
    page.click("#more summary")
    complete(page)
    page.locator("#tracks .lock").first.click()
    page.locator("#tracks .why").nth(1).click()
    page.wait_for_selector(".reason table")


def find_violations(page):
    found = axe_playwright.Axe().run(page).response["violations"]
    return [(entry["id"], entry["impact"], [node["html"] for node in entry["nodes"]]) for entry in found]


@pytest.mark.parametrize("look", LOOKS, ids=LOOK_NAMES)
def test_axe_finds_nothing(open_page, look):
    page = open_page(**look)
    fill_page(page)
    search(page, "rotating")
    assert find_violations(page) == []


def test_axe_finds_nothing_in_the_empty_page(open_page):
    assert find_violations(open_page()) == []


@pytest.mark.parametrize("look", LOOKS[::2], ids=LOOK_NAMES[::2])
def test_the_documentation_shows_every_address(open_page, client, look):
    page = open_page("/docs", **look)
    operations = [
        f"{method.upper()} {path}"
        for path, methods in client.get("/openapi.json").json()["paths"].items()
        for method in methods
    ]
    assert page.locator("h3 code").all_text_contents() == operations
    assert page.locator("#schema-ControlSettings tbody tr").count() == 14
    # Every link to a schema leads somewhere.
    targets = page.locator("main a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert all(page.locator(target).count() == 1 for target in set(targets))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert find_violations(page) == []


def test_the_accessibility_tree_names_every_control(open_page):
    page = open_page()
    fill_page(page)
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    roles = {
        "button",
        "textbox",
        "combobox",
        "spinbutton",
        "checkbox",
        "link",
        "listbox",
        "DisclosureTriangle",
        "searchbox",
    }
    controls = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    named = [node["name"]["value"] for node in controls if node["name"]["value"].strip()]
    assert len(named) == len(controls)
    elements = page.locator(":is(button, input, select, textarea, a, summary):visible").count()
    assert len(controls) >= elements
    # A placeholder is no name: it goes away.
    fields = page.locator("input, select, textarea")
    assert (
        fields.evaluate_all("all => all.filter(one => !one.labels.length && !one.ariaLabel).map(one => one.id)") == []
    )
    # Controls that are there several times say which one they are.
    names = [name for name in named if re.match(r"(Lock|Why|Move|Remove) ", name)]
    assert len(set(names)) == len(names)


def test_a_phone_shows_everything_without_scrolling_sideways(open_page):
    page = open_page(**PHONE)
    fill_page(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    outside = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, a")]
          .filter(element => element.checkVisibility() && !element.matches(".skip"))
          .filter(element => element.getBoundingClientRect().left < 0 || element.getBoundingClientRect().right > 360)
          .map(element => element.outerHTML)"""
    )
    assert outside == []
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input")].filter(element => element.checkVisibility())
          .map(element => [element.getBoundingClientRect(), element.outerHTML])
          .filter(([{ width, height }, html]) => Math.min(width, height) < 24 && !html.includes("checkbox"))
          .map(([, html]) => html)"""
    )
    assert small == []


def test_the_focus_is_always_seen(open_page):
    page = open_page()
    add(page, "rotating system")
    page.fill("#length", "3")
    complete(page)
    page.reload()
    page.wait_for_selector("body[data-ready]")
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => { const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);"
            " return [document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.tagName,"
            " outlineStyle, parseFloat(outlineWidth)]; }"
        )
        if focused[0] == "BODY":
            break
        assert focused[1] != "none", focused
        assert focused[2] >= 2, focused
        seen.add(focused[0])
    assert {"title", "search", "length", "complete", "regenerate", "format", "copy", "download"} <= seen
