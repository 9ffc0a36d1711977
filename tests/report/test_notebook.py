"""Documents in a notebook: all of them, escaped, without scripts; and in one line by `repr`."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image  # noqa: F401  (as the network does)

import rankwise as rw
from rankwise import documents
