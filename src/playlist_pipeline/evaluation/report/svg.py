"""Plotly figures of lines as SVG to stand in an HTML page: no script, no request, the colours of the page.

Plotly itself needs a browser to write SVG. Matplotlib draws each panel of a figure by itself, so that panels flow with
the width of the page.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import plotly.graph_objects as go
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from matplotlib.container import ErrorbarContainer

SIZE = (4.2, 3.0)  # inches of 72 points; the page scales it
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,
    "font.size": 10,
    "axes.grid": True,
    "grid.color": "#000000",
    "grid.alpha": 0.15,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
# Plotly's names of dashes to matplotlib's and to those of SVG.
DASHES: dict[str, tuple[Any, str]] = {
    "solid": ("-", ""),
    "dash": ("--", "6 3"),
    "dot": (":", "2 3"),
    "dashdot": ("-.", "6 2 2 2"),
    "longdash": ((0, (8, 2)), "11 3"),
}
SPREAD = 0.25  # of a category's width, over which the systems' points are spread
LONG_LABELS = 40  # characters of all labels of an axis together that do not fit side by side


@dataclass(frozen=True)
class Entry:
    """A line of the legend.

    Attributes:
        name: The system or loss.
        colour: Of the line, as CSS has it.
        dash: A key of ``DASHES``.
    """

    name: str
    colour: str
    dash: str

    @property
    def dash_array(self) -> str:
        """``stroke-dasharray`` of the line; empty if it is solid."""
        return DASHES[self.dash][1]


@dataclass(frozen=True)
class Drawing:
    """A figure as it stands in the page.

    Attributes:
        title: Of the figure.
        legend: Each line once.
        panels: One ``<svg>`` element for each.
    """

    title: str
    legend: list[Entry] = field(default_factory=list)
    panels: list[str] = field(default_factory=list)


def draw_figure(figure: go.Figure, *, name: str) -> Drawing:
    """Draw each panel of a plotly figure as an SVG element.

    Args:
        figure: Of scatter traces; lines, markers, error bars, and axes of categories, numbers or logarithms are drawn.
        name: Of the figure, another for each in a page: ids inside the elements begin from it.

    Returns:
        The same figure, its legend apart. Panels without a trace are left out.

    Raises:
        ValueError: A trace is not a scatter trace.
    """
    content = figure.to_plotly_json()
    panels: dict[str, list[Mapping[str, Any]]] = {}
    legend: dict[str, Entry] = {}
    for trace in content["data"]:
        if trace.get("type", "scatter") != "scatter":
            raise ValueError(f"figure {name} has a {trace['type']} trace: only scatter traces are drawn")
        panels.setdefault(trace.get("xaxis", "x"), []).append(trace)
        if trace.get("showlegend", True):
            legend.setdefault(trace["name"], Entry(trace["name"], _colour_of(trace), _dash_of(trace)))
    layout = content["layout"]
    drawn = [
        _draw_panel(traces, layout, axis, heights=_find_heights(panels, layout, axis), key=f"{name}-{number}")
        for number, (axis, traces) in enumerate(panels.items(), 1)
    ]
    return Drawing(title=_text_of(layout.get("title")), legend=list(legend.values()), panels=drawn)


def _find_heights(
    panels: Mapping[str, Sequence[Mapping[str, Any]]], layout: Mapping[str, Any], axis: str
) -> list[float]:
    """List the values and ends of error bars of all panels whose y axis is matched to that of a panel."""

    def name_scale(axis: str) -> str:
        return layout.get(axis.replace("x", "yaxis"), {}).get("matches") or axis.replace("x", "y")

    heights = []
    for trace in (
        trace for other, traces in panels.items() if name_scale(other) == name_scale(axis) for trace in traces
    ):
        bars = trace.get("error_y", {})
        nothing = [0.0] * len(trace["y"])
        ends = zip(trace["y"], bars.get("arrayminus", nothing), bars.get("array", nothing), strict=True)
        heights += [end for y, below, above in ends if y is not None for end in (y - below, y + above)]
    return heights


def _draw_panel(
    traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], axis: str, *, heights: Sequence[float], key: str
) -> str:
    x_axis = layout.get(axis.replace("x", "xaxis"), {})
    y_axis = layout.get(axis.replace("x", "yaxis"), {})
    title = _find_title(layout, x_axis, y_axis)
    with rc_context(SETTINGS | {"svg.hashsalt": key}):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        places = _place_categories(axes, traces) if _has_categories(traces) else None
        for number, trace in enumerate(traces):
            _draw_trace(axes, trace, places, shift=SPREAD * ((number + 0.5) / len(traces) - 0.5), gid=f"line-{number}")
        axes.update_datalim([(0.0, height) for height in heights], updatex=False)
        axes.autoscale_view()
        _label_axes(axes, traces, x_axis, y_axis, title)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata=NO_METADATA)
    names = {f"line-{number}": trace["name"] for number, trace in enumerate(traces)}
    label = ": ".join(filter(None, (_text_of(layout.get("title")), title)))
    return _make_inline(stream.getvalue(), label=label, names=names)


def _draw_trace(
    axes: Axes, trace: Mapping[str, Any], places: Mapping[str, int] | None, *, shift: float, gid: str
) -> None:
    mode = trace.get("mode", "lines")
    xs = [places[str(x)] + shift for x in trace["x"]] if places is not None else list(trace["x"])
    ys = [float("nan") if y is None else y for y in trace["y"]]
    bars = trace.get("error_y", {})
    drawn: ErrorbarContainer = axes.errorbar(
        xs,
        ys,
        yerr=[bars["arrayminus"], bars["array"]] if bars.get("array") is not None and xs else None,
        color=_colour_of(trace),
        linestyle=DASHES[_dash_of(trace)][0] if "lines" in mode else "none",
        drawstyle="steps-post" if trace.get("line", {}).get("shape") == "hv" else "default",
        marker="o" if "markers" in mode else "",
        markersize=3.5,
        linewidth=1.3,
        elinewidth=1,
        capsize=2,
        alpha=trace.get("marker", {}).get("opacity"),
    )
    for artist in drawn.get_children():
        artist.set_gid(gid)


def _label_axes(
    axes: Axes, traces: Sequence[Mapping[str, Any]], x_axis: Mapping[str, Any], y_axis: Mapping[str, Any], title: str
) -> None:
    axes.set_title(title)
    axes.set_xlabel(_text_of(x_axis.get("title")))
    axes.set_ylabel(_text_of(y_axis.get("title")))
    for part, name, set_scale in ((x_axis, "x", axes.set_xscale), (y_axis, "y", axes.set_yscale)):
        if part.get("type") == "log":
            set_scale("log")
        elif part.get("rangemode") == "tozero":
            axes.update_datalim([(0, 0)], updatex=name == "x", updatey=name == "y")
            axes.autoscale_view()
    if all(isinstance(x, int) for trace in traces for x in trace["x"]) and x_axis.get("type") != "log":
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    low, high = axes.get_ylim()
    if low < 0 < high:
        axes.axhline(0, color="#000000", linewidth=0.8)


def _has_categories(traces: Sequence[Mapping[str, Any]]) -> bool:
    return any(isinstance(x, str) for trace in traces for x in trace["x"])


def _place_categories(axes: Axes, traces: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Give each category a place along the axis, in the order of the traces, and label it."""
    categories = list(dict.fromkeys(str(x) for trace in traces for x in trace["x"]))
    is_long = sum(map(len, categories)) > LONG_LABELS
    slant: dict[str, Any] = {"rotation": 40, "ha": "right"} if is_long else {}
    axes.set_xticks(range(len(categories)), categories, **slant)
    return {category: place for place, category in enumerate(categories)}


def _find_title(layout: Mapping[str, Any], x_axis: Mapping[str, Any], y_axis: Mapping[str, Any]) -> str:
    """Return the annotation that stands in the middle above a panel, as ``make_subplots`` puts its title."""
    if "domain" not in x_axis or "domain" not in y_axis:
        return ""
    middle, top = sum(x_axis["domain"]) / 2, y_axis["domain"][1]
    found = (
        annotation["text"]
        for annotation in layout.get("annotations", ())
        if abs(annotation["x"] - middle) < 1e-6 and abs(annotation["y"] - top) < 1e-6
    )
    return next(found, "")


def _text_of(title: Mapping[str, Any] | None) -> str:
    return (title or {}).get("text") or ""


def _colour_of(trace: Mapping[str, Any]) -> str:
    return trace.get("line", {}).get("color") or trace.get("marker", {}).get("color") or "#000000"


def _dash_of(trace: Mapping[str, Any]) -> str:
    return trace.get("line", {}).get("dash") or "solid"


def _make_inline(svg: str, *, label: str, names: Mapping[str, str]) -> str:
    """Turn matplotlib's SVG file into an element of an HTML page.

    Black becomes the page's own colour, fonts and size are left to the page, and ids that nothing refers to, which
    other figures have too, are dropped; those of lines become titles, which browsers show at the pointer.
    """
    root = ElementTree.fromstring(svg)
    for element in list(root.iter()):
        element.tag = _drop_namespace(element.tag)
        element.attrib = {_drop_namespace(name): value for name, value in element.attrib.items()}
        if "style" in element.attrib:
            element.attrib["style"] = _adapt_style(element.attrib["style"])
        name = names.get(element.attrib.pop("id", "")) if element.tag == "g" else None
        if name is not None:
            title = ElementTree.Element("title")
            title.text = name
            element.insert(0, title)
        for style in element.findall("{*}style"):
            element.remove(style)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode")


def _drop_namespace(name: str) -> str:
    return name.rpartition("}")[2]


def _adapt_style(style: str) -> str:
    kept = (part for part in style.split("; ") if not part.startswith("font-family"))
    return "; ".join(kept).replace("#000000", "currentColor")
