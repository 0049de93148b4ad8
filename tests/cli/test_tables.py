"""The cells of the tables that verbs print."""

import pytest

from spikefold.cli.tables import Report, Share, show


def test_a_share_is_printed_as_percent_and_kept_as_a_fraction(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report({"accuracy": 1.0})
    report.table("shares", ("all", "some", "few"), [(Share(1.0), Share(349 / 360), Share(0.00004))])
    show(report, False)
    printed = capsys.readouterr().out
    assert all(words in printed for words in ("100.00 %", "96.94 %", "0.00 %"))
    show(report, True)
    assert capsys.readouterr().out == '{\n  "accuracy": 1.0\n}\n'
