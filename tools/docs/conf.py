# SPDX-License-Identifier: Apache-2.0
"""Sphinx over README.md, docs/*.md and the docstrings of the public names; run by tools/docs/build.py."""

import re

project = "libkernels"
copyright = "The libkernels authors. Apache-2.0"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
root_doc = "README"
source_suffix = {".md": "markdown"}
html_theme = "alabaster"
html_theme_options = {"page_width": "1100px"}

# `name` in a docstring is a link to what has that name, else code.
default_role = "py:obj"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"
napoleon_numpy_docstring = False
myst_heading_anchors = 3


_SECTION = re.compile(r"^(\w+):$")


def join_items(app, what, name, obj, options, lines):
    """Makes a line of each item of Args, Attributes and Raises: napoleon reads no types that are wrapped."""
    section, joined = None, []
    for line in lines:
        title = _SECTION.match(line)
        section = title.group(1) if title else section
        if section in ("Args", "Attributes", "Raises") and line.startswith(" " * 8):
            joined[-1] += " " + line.strip()
        else:
            joined.append(line)
    lines[:] = joined


def setup(app):
    app.connect("autodoc-process-docstring", join_items, priority=100)  # before napoleon
