import math
from xml.etree import ElementTree as ET

from hypothesis import example, given
from hypothesis import strategies as st

from bertsmith.report.charts import HEIGHT, MOST_POINTS, WIDTH, Dots, Line, Scale, dot_chart, line_chart, smoothed, ticks

numbers = st.floats(-1e6, 1e6, allow_nan=False)


def points_of(chart: str) -> list[list[tuple[float, float]]]:
    """The points of every line of a chart."""
    lines = [element.attrib["points"].split() for element in ET.fromstring(chart).iter("polyline")]
    return [[(float(x), float(y)) for x, y in (point.split(",") for point in line)] for line in lines]


@given(numbers, numbers)
@example(0.0, 5e-324)
def test_ticks_are_even_and_enclose_what_is_shown(one: float, other: float):
    low, high = min(one, other), max(one, other)
    marks = ticks(low, high)
    span = max(high - low, 1e-6)
    assert marks[0] <= low + 1e-6 * span + 1e-9
    assert marks[-1] >= high - 1e-6 * span - 1e-9
    assert 2 <= len(marks) <= 7


@given(st.lists(st.tuples(st.integers(0, 1000).map(float), st.floats(width=32)), max_size=40))
def test_every_line_stays_inside_its_drawing(points: list[tuple[float, float]]):
    chart = str(line_chart([Line(points, "marks", 1, "a")], steps=1000, name="loss"))
    finite = [y for _, y in points if math.isfinite(y)]
    if not finite:
        assert chart == ""
        return
    [drawn] = points_of(chart)
    assert len(drawn) == len(finite)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in drawn)


def test_higher_values_are_drawn_higher_and_later_ones_to_the_right():
    [[first, second]] = points_of(line_chart([Line([(1, 0.2), (2, 0.9)], "curve", 1, "a")], steps=2, name="loss"))
    assert first[0] < second[0]
    assert first[1] > second[1]


def test_a_long_line_is_thinned_to_means():
    line = Line([(float(step), step % 2) for step in range(10_000)], "curve", 1, "a")
    [drawn] = points_of(line_chart([line], steps=10_000, name="loss"))
    assert len(drawn) <= MOST_POINTS
    assert len({y for _, y in drawn}) == 1


def test_names_are_escaped():
    chart = str(line_chart([Line([(1, 1.0)], "marks", 1, "<b>")], steps=1, name='"<i>'))
    assert {element.tag for element in ET.fromstring(chart).iter()} <= {"svg", "line", "text", "polyline", "title", "circle"}
    dots = dot_chart([Dots("<b>", [0.5], 0.5, "<i>")], low=0, high=1, name="<u>")
    assert [element.text for element in ET.fromstring(str(dots)).iter("text")][-2:] == ["<b>", "<i>"]


def test_a_dot_chart_has_a_dot_for_every_run_and_the_mean_between_them():
    chart = ET.fromstring(str(dot_chart([Dots("a", [0.6, 0.8], 0.7, "70%")], low=0.5, high=1, name="accuracy", reference=0.5)))
    first, second = (float(dot.attrib["cx"]) for dot in chart.iter("circle"))
    [mean] = [float(line.attrib["x1"]) for line in chart.iter("line") if line.attrib["class"] == "mean"]
    [reference] = [float(line.attrib["x1"]) for line in chart.iter("line") if line.attrib["class"] == "reference"]
    assert reference < first < mean < second
    assert math.isclose(mean, (first + second) / 2, abs_tol=0.1)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.integers(1, 9))
def test_smoothing_keeps_every_step_and_stays_within_the_values(values: list[float], window: int):
    points = list(enumerate(values))
    made = smoothed([(float(x), y) for x, y in points], window)
    assert [x for x, _ in made] == list(range(len(values)))
    assert all(min(values) - 1e-9 <= y <= max(values) + 1e-9 for _, y in made)
    if window == 1:
        assert [y for _, y in made] == values


def test_a_value_that_is_no_number_does_not_take_its_neighbours_away():
    assert smoothed([(1, 1.0), (2, math.nan), (3, 3.0)], 3) == [(1, 2.0), (3, 2.0)]
    assert smoothed([(1, math.nan)], 3) == []


def test_a_scale_of_no_width_puts_everything_in_the_middle():
    assert Scale(1, 1, 0, 10)(1) == 5
