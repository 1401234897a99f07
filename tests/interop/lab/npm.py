"""What the tests run from npm."""

import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


class Absent(Exception):
    """Something that the test needs is not installed; the text says what."""


def npm_module(name):
    """The folder of an npm package, where tools/deps --test put it."""
    path = os.path.join(ROOT, "build", "npm", "node_modules", name)
    if os.path.isdir(path):
        return path
    raise Absent(f"the npm package {name} (tools/deps --test installs it)")
