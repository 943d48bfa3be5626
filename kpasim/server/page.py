"""The page at ``/``: a prompt, and the picture that the server makes of it."""

from __future__ import annotations

import base64
import hashlib
from html import escape

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
textarea, input, button { font: inherit; box-sizing: border-box; width: 100%; padding: .5rem; }
.row { display: grid; grid-template-columns: 1fr 1fr 1fr; gap: .5rem; margin: .75rem 0; }
img { max-width: 100%; height: auto; margin-top: 1rem; }
"""

_SCRIPT = """
const [form, say, img] = ['form', '#state', 'img'].map((name) => document.querySelector(name));
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const {prompt, steps, width, height} = form;
  const body = {prompt: prompt.value, steps: +steps.value, width: +width.value, height: +height.value};
  const button = form.querySelector('button');
  button.disabled = true; say.textContent = 'Generating ...';
  const began = performance.now();
  try {
    const response = await fetch('/sdapi/v1/txt2img',
      {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(body)});
    const answer = await response.json();
    if (!response.ok) throw new Error(typeof answer.detail === 'string' ? answer.detail : 'status ' + response.status);
    if (!answer.images.length) throw new Error('interrupted');
    img.src = 'data:image/png;base64,' + answer.images[0];
    img.alt = body.prompt || 'generated image'; img.hidden = false;
    say.textContent = 'Response after ' + ((performance.now() - began) / 1000).toFixed(1) + ' s.';
  } catch (error) { say.textContent = 'Failed: ' + error.message; }
  button.disabled = false;
});
"""


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY = (
    f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; img-src data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy: nothing runs but the script of the page, and nothing is loaded from elsewhere."""


def page(model: str, max_side: int, max_steps: int) -> str:
    """The HTML page of a server, with the name of its model and its limits [pixels, steps]."""
    side = min(512, max_side)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>txt2img: {escape(model)}</title><style>{_STYLE}</style></head>
<body><h1>txt2img</h1>
<p>This server makes images with the model <b>{escape(model)}</b>. The API is that of AUTOMATIC1111
(<a href="/openapi.json">openapi.json</a>).</p>
<form><label for="prompt">Prompt</label><textarea id="prompt" name="prompt" rows="3">a lighthouse at dusk</textarea>
<div class="row">
<label>Steps<input name="steps" type="number" min="1" max="{max_steps}" value="{min(20, max_steps)}"></label>
<label>Width<input name="width" type="number" min="64" max="{max_side}" step="8" value="{side}"></label>
<label>Height<input name="height" type="number" min="64" max="{max_side}" step="8" value="{side}"></label>
</div><button>Generate</button></form>
<p id="state" role="status"></p><img hidden alt=""><script>{_SCRIPT}</script></body></html>
"""
