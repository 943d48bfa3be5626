"use strict";
// What every page with charts shares: colours by name, drawing, keys, and the light or dark side.
var kpasimDraw = (function () {
  var root = document.documentElement;
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

  function draw(place, chart) {
    var drawn = coloured(chart, getComputedStyle(root));
    return Plotly.react(place, drawn.data, drawn.layout, config);
  }

  // Arrow keys step from decision to decision, and say each one.
  function walk(place, spoken, chartOf) {
    var at = -1;
    place.addEventListener("keydown", function (event) {
      var step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], chart = chartOf();
      var curve = chart ? chart.data.findIndex(function (trace) { return trace.name === "decisions"; }) : -1;
      var texts = curve < 0 ? [] : chart.data[curve].text;
      if (!step || !texts.length) { return; }
      event.preventDefault();
      at = Math.min(Math.max(at + step, 0), texts.length - 1);
      Plotly.Fx.hover(place, [{ curveNumber: curve, pointNumber: at }], "xy");
      spoken.textContent = texts[at].split("<br>").join("; ")
        .replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
    });
  }

  function theme(redraw) {
    var button = document.getElementById("theme");
    function label() {
      var dark = root.dataset.theme === "dark";
      button.textContent = dark ? "Light" : "Dark";
      button.setAttribute("aria-pressed", String(dark));
    }
    function choose(wanted, keep) {
      root.dataset.theme = wanted;
      if (keep) { try { localStorage.setItem("kpasim-theme", wanted); } catch (error) { /* then only for now */ } }
      label();
      redraw();
    }
    button.addEventListener("click", function () { choose(root.dataset.theme === "dark" ? "light" : "dark", true); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function (event) {
      var kept = null;
      try { kept = localStorage.getItem("kpasim-theme"); } catch (error) { /* nothing was kept */ }
      if (!kept) { choose(event.matches ? "dark" : "light", false); }
    });
    label();
  }

  return { draw: draw, walk: walk, theme: theme };
})();
