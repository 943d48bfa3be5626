"use strict";
(function () {
  var root = document.documentElement;
  var charts = JSON.parse(document.getElementById("charts").textContent);
  // In the order in which they stand on the page.
  var waiting = Array.from(document.querySelectorAll(".chart"), function (place) { return place.id.slice(6); });
  var drawn = [];

  function place(name) { return document.getElementById("chart-" + name); }
  function draw(name) { return kpasimDraw.draw(place(name), charts[name]); }

  function seen(name) {
    var box = place(name).getBoundingClientRect();
    return box.top < innerHeight && box.bottom > 0;
  }

  function begin(name) {
    waiting.splice(waiting.indexOf(name), 1);
    drawn.push(name);
    draw(name);
    if (place(name).hasAttribute("data-keys")) {
      kpasimDraw.walk(place(name), document.getElementById("spoken-" + name), function () { return charts[name]; });
    }
  }

  kpasimDraw.theme(function () { drawn.forEach(draw); });

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
