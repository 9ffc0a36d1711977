"""Network errors as text: the worst part and the worst picture by name."""

from __future__ import annotations

from rankwise.documents import Errors, PictureErrors
from rankwise.report.error_text import by_picture, with_worst


def errors(count: int = 9, worst: float | None = 0.5, **parts: float | None) -> Errors:
    pictures = PictureErrors(
        count=count, median=0.1, quantile_90=0.2, worst=worst, worst_name="cat.png"
    )
    return Errors(parts=parts, pictures=pictures)


def test_the_worst_of_several_parts() -> None:
    assert with_worst(0.123456, None) == "0.1235"
    assert with_worst(0.123456, errors(y=0.123456)) == "0.1235"
    assert with_worst(0.1, errors(boxes=0.01, scores=0.2)) == "0.1000 (worst: scores 0.2000)"
    assert with_worst(0, errors(boxes=0, scores=0)) == "0.0000"
    assert with_worst(0.1, errors(boxes=None, scores=0.2)) == "0.1000 (worst: boxes infinite)"


def test_by_picture() -> None:
    expected = "median 0.1000, nine of ten up to 0.2000, worst 0.5000 (cat.png)"
    assert by_picture(errors(y=0.1)) == expected
    assert "worst infinite (cat.png)" in by_picture(errors(worst=None, y=0.1))
    assert by_picture(errors(count=1, y=0.1)) == by_picture(None) == ""
