"""Every file of the corpus is refused by its own words, in one line, quickly and in little memory."""

from pathlib import Path

import pytest

from benchmarks.fuzz.cases import Case, write_case
from benchmarks.fuzz.measure import CLEAR_REFS, Spent, excess, not_a_line
from spikefold.data.errors import SpikefoldError
from tests.hostile.corpus import CORPUS, FILE

pytestmark = pytest.mark.skipif(not CLEAR_REFS.exists(), reason="the peak of the memory can be set back on Linux alone")


@pytest.mark.parametrize("name", CORPUS)
def test_hostile_file_is_refused(tmp_path: Path, name: str) -> None:
    hostile = CORPUS[name]
    made = hostile.make()
    files = dict(made) if isinstance(made, dict) else {FILE: made}
    written = Case(what=name, files={path: content for path, content in files.items() if not isinstance(content, int)})
    write_case(written, tmp_path)
    for path, size in files.items():
        if isinstance(size, int):
            with (tmp_path / path).open("wb") as file:
                file.truncate(size)
    with Spent() as spent, pytest.raises(SpikefoldError) as caught:
        hostile.read(tmp_path)
    message = str(caught.value)
    assert hostile.words in message
    assert not not_a_line(message), message[:500]
    assert not excess(written.size, spent.seconds, spent.memory)


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 60
