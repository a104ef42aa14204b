from xml.etree import ElementTree

import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from playlist_pipeline.evaluation.plots import DASHES as PLOTTED_DASHES
from playlist_pipeline.evaluation.plots import plot_quality
from playlist_pipeline.evaluation.report.svg import DASHES, Entry, draw_figure


def make_figure(**changes):
    figure = make_subplots(rows=1, cols=2, subplot_titles=["left", "right"])
    for column in (1, 2):
        line = {"name": "a<b", "x": ["1", "5"], "y": [1, 2], "line": {"color": "#0072B2", "dash": "dash"}} | changes
        figure.add_trace(go.Scatter(**line), row=1, col=column)
    return figure.update_layout(title="The title").update_xaxes(title_text="seeds")


def texts_of(panel: str) -> list[str]:
    return [element.text for element in ElementTree.fromstring(panel).iter("text")]


def points_of(panel: str) -> list[list[tuple[float, float]]]:
    """Points of each path in #123456: the error bars, then the line."""
    root = ElementTree.fromstring(panel)
    groups = [group for group in root.iter("g") if group.find("title") is not None]
    paths = [path for group in groups for path in group.findall("path") if "#123456" in path.attrib["style"]]
    numbers = [[float(word) for word in path.attrib["d"].split() if word not in "ML"] for path in paths]
    return [list(zip(values[::2], values[1::2], strict=True)) for values in numbers]


def test_each_panel_is_an_element_with_its_title_labels_and_axes():
    drawing = draw_figure(make_figure(), name="it")
    assert drawing.title == "The title"
    assert drawing.legend == [Entry("a<b", "#0072B2", "dash")]
    assert len(drawing.panels) == 2
    for panel, title in zip(drawing.panels, ("left", "right"), strict=True):
        root = ElementTree.fromstring(panel)
        assert root.tag == "svg"
        assert root.attrib["aria-label"] == f"The title: {title}"
        assert {"1", "5", "seeds", title} <= set(texts_of(panel))
        assert "a<b" in [element.text for element in root.iter("title")]


def test_nothing_is_asked_for_and_no_id_occurs_twice():
    drawings = [draw_figure(make_figure(), name=name) for name in ("one", "two")]
    panels = [panel for drawing in drawings for panel in drawing.panels]
    assert not any(word in panel for panel in panels for word in ("http", "xmlns", "<style", "<script", "@import"))
    ids = [
        element.attrib["id"]
        for panel in panels
        for element in ElementTree.fromstring(panel).iter()
        if element.get("id")
    ]
    assert ids
    assert len(ids) == len(set(ids))
    for panel in panels:
        elements = list(ElementTree.fromstring(panel).iter())
        used = {element.attrib["href"].removeprefix("#") for element in elements if "href" in element.attrib}
        assert used <= {element.get("id") for element in elements}


def test_black_is_the_colour_of_the_page_and_fonts_are_its_own():
    panel = draw_figure(make_figure(), name="it").panels[0]
    assert "currentColor" in panel
    assert "#000000" not in panel
    assert "font-family" not in panel
    assert "#0072b2" in panel


def test_the_same_figure_gives_the_same_text():
    assert draw_figure(make_figure(), name="it") == draw_figure(make_figure(), name="it")


def test_lines_and_error_bars_stand_where_their_values_are():
    bars = {"type": "data", "symmetric": False, "array": [1, 0.5], "arrayminus": [0.5, 1]}
    figure = go.Figure(go.Scatter(name="a", x=[0, 10], y=[2, 4], error_y=bars, mode="lines", line={"color": "#123456"}))
    first, second, line = points_of(draw_figure(figure, name="it").panels[0])
    unit = (line[0][1] - line[1][1]) / 2
    assert unit > 0
    assert sorted(y for _, y in first) == pytest.approx([line[0][1] - unit, line[0][1] + unit / 2])
    assert sorted(y for _, y in second) == pytest.approx([line[1][1] - unit / 2, line[1][1] + unit])


def test_panels_whose_axes_match_have_the_same_scale():
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True)
    for column, high in ((1, 4), (2, 40)):
        line = {"name": "a", "x": [1, 2], "y": [0, high], "line": {"color": "#123456"}}
        figure.add_trace(go.Scatter(**line), row=1, col=column)

    def find_heights():
        lines = (points_of(panel)[0] for panel in draw_figure(figure, name="it").panels)
        return [first - second for (_, first), (_, second) in lines]

    low, high = find_heights()
    assert high == pytest.approx(10 * low)
    figure.layout.yaxis2.matches = None
    low, high = find_heights()
    assert high == pytest.approx(low)


@pytest.mark.parametrize("dash", PLOTTED_DASHES)
def test_every_dash_of_the_plots_is_drawn_apart(dash):
    (entry,) = draw_figure(make_figure(line={"color": "#0072B2", "dash": dash}), name="it").legend
    assert entry.dash == dash
    assert [other for other, (_, array) in DASHES.items() if array == entry.dash_array] == [dash]


def test_what_was_not_measured_interrupts_the_line():
    whole, broken = (
        draw_figure(make_figure(x=["1", "2", "3", "4"], y=ys), name="it").panels[0]
        for ys in ([1, 2, 3, 4], [1, None, 3, 4])
    )
    assert whole != broken
    assert "nan" not in broken.lower()


def test_a_logarithmic_axis_and_steps():
    figure = go.Figure(go.Scatter(name="a", x=[1, 10, 100], y=[1, 2, 4], line={"color": "#123456"}))
    (points,) = points_of(draw_figure(figure.update_xaxes(type="log"), name="it").panels[0])
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0])
    figure.update_traces(line_shape="hv")
    (steps,) = points_of(draw_figure(figure, name="it").panels[0])
    (x0, y0), (x1, y1), (x2, y2) = points
    assert steps == [(x0, y0), (x1, y0), (x1, y1), (x2, y1), (x2, y2)]


def test_what_plots_make_is_drawn(metrics):
    drawing = draw_figure(plot_quality(metrics), name="quality")
    assert len(drawing.panels) == 8
    assert [entry.name for entry in drawing.legend] == ["model", "popularity", "item-kNN"]


def test_another_kind_of_trace_is_refused():
    with pytest.raises(ValueError, match="figure it has a pie trace: only scatter traces are drawn"):
        draw_figure(go.Figure(go.Pie(values=[1, 2])), name="it")


def test_a_figure_without_traces_has_no_panels():
    assert draw_figure(go.Figure(), name="it").panels == []


def test_text_is_not_read_as_mathematics():
    panel = draw_figure(make_figure().update_xaxes(title_text="$x$ & <b>"), name="it").panels[0]
    assert "$x$ & <b>" in texts_of(panel)
