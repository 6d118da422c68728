"""The compiled half of the package; all else is in pyproject.toml."""

from setuptools import setup
from wheel.bdist_wheel import bdist_wheel


class abi3(bdist_wheel):
    """One wheel for every Python from 3.9 on."""

    def get_tag(self):
        _, _, platform = super().get_tag()
        return "cp39", "abi3", platform


setup(cffi_modules=["src/conex/_build.py:ffibuilder"], cmdclass={"bdist_wheel": abi3})
