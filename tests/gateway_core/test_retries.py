from __future__ import annotations

from gateway_core.retries import RetryBudget


def test_has_a_few_left_for_quiet_times_and_then_one_for_ten_calls() -> None:
    budget = RetryBudget()
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]
    for _ in range(11):
        budget.pay_in()
    assert [budget.spend(), budget.spend()] == [True, False]


def test_saves_no_more_than_that() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.pay_in()
    assert sum(budget.spend() for _ in range(100)) == 10
