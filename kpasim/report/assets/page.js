"use strict";
(function () {
  var root = document.documentElement;
  var charts = JSON.parse(document.getElementById("charts").textContent);
  // In the order in which they stand on the page.
  var waiting = Array.from(document.querySelectorAll(".chart"), function (place) { return place.id.slice(6); });
  var drawn = [];
  var config = { displaylogo: false, displayModeBar: true, responsive: true,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };

  // Colours are named in the charts as in the style sheet: "<blue>" is --blue of the side that is shown.
  function coloured(value, style) {
    if (typeof value === "string") {
      var name = /^<([a-z-]+)>$/.exec(value);
      return name ? style.getPropertyValue("--" + name[1]).trim() : value;
    }
    if (Array.isArray(value)) { return value.map(function (one) { return coloured(one, style); }); }
    if (value && typeof value === "object") {
      var copy = {};
      Object.keys(value).forEach(function (key) { copy[key] = coloured(value[key], style); });
      return copy;
    }
    return value;
  }

  function draw(name) {
    var place = document.getElementById("chart-" + name);
    var chart = coloured(charts[name], getComputedStyle(root));
    return Plotly.react(place, chart.data, chart.layout, config);
  }

  function seen(name) {
    var box = document.getElementById("chart-" + name).getBoundingClientRect();
    return box.top < innerHeight && box.bottom > 0;
  }

  function begin(name) {
    waiting.splice(waiting.indexOf(name), 1);
    drawn.push(name);
    draw(name);
    walk(name);
  }

  // Arrow keys step from decision to decision, and say each one.
  function walk(name) {
    var place = document.getElementById("chart-" + name);
    if (!place.hasAttribute("data-keys")) { return; }
    var curve = charts[name].data.findIndex(function (trace) { return trace.name === "decisions"; });
    if (curve < 0) { return; }
    var texts = charts[name].data[curve].text, at = -1;
    place.addEventListener("keydown", function (event) {
      var step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step || !texts.length) { return; }
      event.preventDefault();
      at = Math.min(Math.max(at + step, 0), texts.length - 1);
      Plotly.Fx.hover(place, [{ curveNumber: curve, pointNumber: at }], "xy");
      document.getElementById("spoken-" + name).textContent = texts[at].split("<br>").join("; ")
        .replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
    });
  }

  var button = document.getElementById("theme");
  function label() {
    var dark = root.dataset.theme === "dark";
    button.textContent = dark ? "Light" : "Dark";
    button.setAttribute("aria-pressed", String(dark));
  }
  function choose(theme, keep) {
    root.dataset.theme = theme;
    if (keep) { try { localStorage.setItem("kpasim-theme", theme); } catch (error) { /* then only for now */ } }
    label();
    drawn.forEach(draw);
  }
  button.addEventListener("click", function () { choose(root.dataset.theme === "dark" ? "light" : "dark", true); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function (event) {
    var kept = null;
    try { kept = localStorage.getItem("kpasim-theme"); } catch (error) { /* nothing was kept */ }
    if (!kept) { choose(event.matches ? "dark" : "light", false); }
  });
  label();

  // First what the reader sees; then the others one by one, so that scrolling and keys are answered in between. One that
  // comes into view is next. Times are kept for whoever measures the page.
  function painted(what, then) {
    requestAnimationFrame(function () {
      setTimeout(function () {
        root.dataset[what] = String(Math.round(performance.now()));
        if (then) { then(); }
      });
    });
  }
  function further() {
    if (!waiting.length) { painted("drawnMs"); return; }
    begin(waiting.find(seen) || waiting[0]);
    setTimeout(further);
  }
  waiting.filter(seen).forEach(begin);
  painted("shownMs", further);
  addEventListener("beforeprint", function () { waiting.slice().forEach(begin); });
})();
