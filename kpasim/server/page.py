"""The page at ``/``: a prompt, and the picture that the server makes of it."""

import base64
import hashlib
import re
from html import escape
from importlib import resources
from string import Template

_TEXT = resources.files("kpasim.server").joinpath("page.html").read_text(encoding="utf-8")


def _hash(element: str) -> str:
    """What a policy says of the only script, or the only style, of the page."""
    [text] = re.findall(f"<{element}>(.*)</{element}>", _TEXT, re.DOTALL)
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY = (
    f"default-src 'none'; script-src {_hash('script')}; style-src {_hash('style')}; img-src data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy: nothing runs but the script of the page, and nothing is loaded from elsewhere."""


def page(model: str, max_side: int, max_steps: int) -> str:
    """The HTML page of a server, with the name of its model and its limits [pixels, steps]."""
    limits = {"max_side": max_side, "side": min(512, max_side), "max_steps": max_steps, "steps": min(20, max_steps)}
    return Template(_TEXT).substitute(model=escape(model), **limits)
