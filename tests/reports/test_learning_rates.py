"""Learning rates: methods that differ in nothing else are a family, and the dev set alone chooses."""

import json

import pytest
from helpers.episodes import CARD
from helpers.suite_reports import report_of, rows
from helpers.suites import METHODS, RATES, Suite

from eefcore.evaluation import metrics
from eefcore.reports.evidence import read_suite
from eefcore.reports.learning_rates import Family, find_families


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return Suite(tmp_path_factory.mktemp("rates"), tasks=90).run("mini_rates", "methods", RATES, (0,))


def methods_of(suite):
    return read_suite(suite.inputs, json.dumps(suite.sections), CARD)["methods"]["mini_rates"]


def test_methods_that_differ_in_the_rate_alone_are_a_family(suite):
    families = find_families(methods_of(suite))
    assert [(f.name, list(f.methods)) for f in families] == [
        ("SFT POS", [1e-5, 1e-4, 1e-3]), ("ETO", [1e-5, 1e-4, 1e-3])
    ]  # fmt: skip


def test_methods_that_differ_otherwise_are_none(tmp_path):
    methods = methods_of(Suite(tmp_path).run("mini_rates", "methods", METHODS, (0,)))
    assert len(methods) > 2 and find_families(methods) == []


def test_the_rate_that_wins_most_on_the_dev_set_is_chosen(suite):
    (_, eto) = find_families(methods_of(suite))
    rates = {rate: metrics.win_rate(*m.dev.runs).value for rate, m in eto.methods.items()}
    assert eto.chosen == 1e-3 and rates[1e-3] == max(rates.values()) > rates[1e-5]


def test_of_equal_rates_the_lowest_is_chosen(suite):
    _, eto = find_families(methods_of(suite))
    same = Family("ETO", dict.fromkeys((1e-5, 1e-3), eto.methods[1e-3]))
    assert same.chosen == 1e-5


def test_the_report_shows_what_was_chosen(suite):
    shown = rows(report_of(suite), "chosen")
    assert shown["ETO"]["chosen"] == 1e-3 and shown["ETO"]["1e-05 n"] == 9
    _, eto = find_families(methods_of(suite))
    assert shown["ETO"]["test win rate"] == metrics.win_rate(*eto.methods[1e-3].evaluation.runs).value


def test_a_report_without_families_has_no_such_section(tmp_path):
    report = report_of(Suite(tmp_path).run("mini_methods", "methods", METHODS, (0,)))
    assert "chosen" not in {t.name for t in report.tables}
