from __future__ import annotations

from io import StringIO

from gateway_core.progress import Progress
from tests.timing import Clock


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_draws_a_bar_over_itself_and_is_gone_afterwards() -> None:
    terminal, clock = Terminal(), Clock(0)
    with Progress(terminal, clock=clock) as progress:
        progress.show("keys", 0, 2)
        clock.now = 1
        progress.show("keys", 1, 2)
    drawn = terminal.getvalue().split("\r\x1b[K")
    assert drawn == ["", f"keys [{' ' * 30}] 0/2", f"keys [{'#' * 15}{' ' * 15}] 1/2", ""]


def test_draws_no_more_often_than_people_look_but_for_the_end() -> None:
    terminal, clock = Terminal(), Clock(0)
    with Progress(terminal, clock=clock) as progress:
        for done in range(1001):
            clock.now = done / 1000
            progress.show("keys", done, 1000)
    drawn = terminal.getvalue().split("\r\x1b[K")
    assert len(drawn) < 15
    assert drawn[-2].endswith("1000/1000")


def test_draws_nothing_where_nobody_looks() -> None:
    stream = StringIO()
    with Progress(stream) as progress:
        progress.show("keys", 1, 2)
    assert stream.getvalue() == ""


def test_nothing_to_do_is_all_done() -> None:
    terminal = Terminal()
    with Progress(terminal) as progress:
        progress.show("keys", 0, 0)
    assert "#" * 30 in terminal.getvalue()
