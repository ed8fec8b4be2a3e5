"""The site of the documentation builds without a warning, and its pages load nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOADED = re.compile(
    r"""<(?:script|img|link|iframe)\b[^>]*(?:src|href)=["']?(?:https?:)?//[^"'> ]+|url\(["']?(?:https?:)?//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", folder]  # with -q it would not count warnings
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if not line.startswith("INFO")]) == (0, [])
    return folder


def test_every_page_is_built(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    pages = {page.with_name("index.html") if page.name == "README.html" else page for page in pages}
    assert [page for page in pages if not (site / page).is_file()] == []


def test_no_page_loads_anything_from_elsewhere(site):
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert {path: LOADED.findall(path.read_text(encoding="utf-8")) for path in files} == {path: [] for path in files}
