"""What a wheel holds beside the sources: the built page and the configurations, which a checkout keeps elsewhere."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# Folder of the checkout, folder in the wheel. An editable install reads the first, see `serve.settings` and `engine.lake`.
BROUGHT = (("frontend/dist", "serve/built_page"), ("lake/research/vp_harness/configs", "engine/configs"))


class BuildWithData(build_py):
    """`build_py` that brings the folders above; one that is missing is left out and said."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for here, there in BROUGHT:
            target = Path(self.build_lib, there)
            shutil.rmtree(target, ignore_errors=True)  # of an earlier build: names of the page's files carry hashes
            if Path(here).is_dir():
                shutil.copytree(here, target, ignore=shutil.ignore_patterns(".*"))
            else:
                self.warn(f"{here} is missing: the wheel goes without {there} (make page builds the page, where Node is)")


setup(cmdclass={"build_py": BuildWithData})
