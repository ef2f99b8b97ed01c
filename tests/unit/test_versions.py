"""One version everywhere: what is released is what the chart names and what the changelog tells of."""

import re
import tomllib

import yaml

from modelrollout import __version__
from tests.bed.folders import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
CHART = yaml.safe_load((REPOSITORY / "charts" / "modelrollout" / "Chart.yaml").read_text())
VALUES = yaml.safe_load((REPOSITORY / "charts" / "modelrollout" / "values.yaml").read_text())


def test_package_project_and_chart_have_one_version():
    assert {PROJECT["version"], CHART["version"], CHART["appVersion"]} == {__version__}


def test_the_changelog_has_a_chapter_for_the_version():
    chapters = re.findall(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert chapters[:2] == ["Unreleased", __version__]


def test_make_image_and_the_readme_name_the_image_that_the_chart_asks_for():
    image = f"{VALUES['image']['repository']}:{VALUES['image']['tag'] or CHART['appVersion']}"
    makefile = (REPOSITORY / "Makefile").read_text().replace("$(VERSION)", PROJECT["version"])
    assert f"docker build --tag {image} ." in makefile
    readme = (REPOSITORY / "README.md").read_text()
    assert f"kind load docker-image {image}" in readme
    assert f"make image                                            # {image}" in readme


def test_project_and_chart_have_one_home():
    assert set(PROJECT["urls"].values()) >= {CHART["home"], *CHART["sources"]}
