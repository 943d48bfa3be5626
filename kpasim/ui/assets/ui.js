"use strict";
// The page computes nothing: it sends a state, and shows the texts and charts that come back.
(function () {
  var config = JSON.parse(document.getElementById("config").textContent);
  var token = new URLSearchParams(location.search).get("token") || "";
  var page = String(Math.random()).slice(2);
  var PATIENCE_MS = 400, TYPING_MS = 250;
  var now = { text: null, settings: new Map() }, pinned = null;
  var setup = null, charts = {}, running = null, again = false, across = { path: "", abort: null, found: null };
  var summary = "", knobs = new Map(), groups = new Map(), typing = 0, asked = 0;

  function at(id) { return document.getElementById(id); }
  function make(tag, text, attributes) {
    var element = document.createElement(tag);
    if (text) { element.textContent = text; }
    Object.keys(attributes || {}).forEach(function (name) { element.setAttribute(name, attributes[name]); });
    return element;
  }
  function fill(place, items) { place.replaceChildren.apply(place, items); }
  function toast(text) {
    at("toast").textContent = text;
    at("toast").classList.add("shown");
    setTimeout(function () { at("toast").classList.remove("shown"); }, 2500);
  }

  // --- the state, also in the address ---
  function plain(state) { return { text: state.text, settings: Array.from(state.settings) }; }
  function copyOf(state) { return { text: state.text, settings: new Map(state.settings) }; }
  function remember() {
    var words = new URLSearchParams();
    function put(state, prefix) {
      state.settings.forEach(function (value, path) { words.append(prefix + "set", path + "=" + value); });
      if (state.text !== null) { words.append(prefix + "manifest", state.text); }
    }
    put(now, "");
    if (pinned) { words.append("pin", "1"); put(pinned, "pin-"); }
    history.replaceState(null, "", location.pathname + location.search + (words.size ? "#" + words : ""));
  }
  function recall() {
    var words = new URLSearchParams(location.hash.slice(1));
    function take(prefix) {
      var state = { text: words.get(prefix + "manifest"), settings: new Map() };
      words.getAll(prefix + "set").forEach(function (one) {
        var place = one.indexOf("=");
        if (place > 0) { state.settings.set(one.slice(0, place), one.slice(place + 1)); }
      });
      return state;
    }
    now = take("");
    pinned = words.has("pin") ? take("pin-") : null;
  }

  // --- asking the server ---
  async function ask(job, signal, heard) {
    var response;
    try {
      response = await fetch("/work", { method: "POST", signal: signal, body: JSON.stringify(Object.assign({ page: page }, job)),
        headers: { "Content-Type": "application/json", Authorization: "Bearer " + token } });
    } catch (error) {
      throw error.name === "AbortError" ? error : new Error("kpasim ui has ended: start it again.");
    }
    if (!response.ok && response.status !== 422) { throw new Error((await response.text()).trim()); }
    var reader = response.body.getReader(), decoder = new TextDecoder(), rest = "";
    for (;;) {
      var part = await reader.read();
      rest += decoder.decode(part.value || new Uint8Array(), { stream: !part.done });
      var lines = rest.split("\n");
      rest = lines.pop();
      lines.forEach(function (line) { heard(JSON.parse(line)); });
      if (part.done) { break; }
    }
    if (rest) { heard(JSON.parse(rest)); }
  }

  // The newest change wins. A first response that is about to come is waited for, so that figures follow a slider; the
  // refinement of an older state is abandoned.
  function change() {
    asked = performance.now();
    remember();
    if (running && !running.first && performance.now() - running.began < PATIENCE_MS) { again = true; return; }
    simulate();
  }
  async function simulate() {
    if (running) { running.abort.abort(); }
    again = false;
    var mine = running = { abort: new AbortController(), began: performance.now(), asked: asked, first: false };
    document.body.classList.add("waiting");
    var job = { kind: "run", state: plain(now) };
    if (pinned) { job.pinned = plain(pinned); }
    try {
      await ask(job, mine.abort.signal, function (message) { if (running === mine) { hear(message, mine); } });
    } catch (error) {
      if (error.name === "AbortError" || running !== mine) { return; }
      status(String(error.message));
      if (error instanceof TypeError || error instanceof ReferenceError) { console.error(error); }
    }
    if (running === mine) {
      running = null;
      at("progress").hidden = true;
      document.documentElement.dataset.settled = String(asked);
      if (again) { simulate(); }
    }
  }
  function hear(message, mine) {
    if (message.kind === "progress") {
      at("progress").hidden = false;
      at("progress").value = message.total ? message.done / message.total : 0;
      return;
    }
    mine.first = true;
    document.body.classList.remove("waiting");
    if (message.kind === "problems") { showProblems(message.problems); }
    if (message.kind === "setup") { showSetup(message); }
    if (message.kind === "figures") { showFigures(message, mine); }
    if (again) { setTimeout(simulate); }
  }
  function bounded() { return setup && setup.bounded ? " (" + setup.bounded + ")" : ""; }
  function status(text) { at("status").textContent = text; }

  // --- right: figures and charts ---
  function showFigures(found, mine) {
    showProblems([]);
    fill(at("tiles"), found.tiles.map(tile));
    var first = found.replications < found.of;
    summary = found.replications.toLocaleString("en") + " replications" + (found.interval ? ": median and " + found.interval : "") +
      (first ? "; refining to " + found.of.toLocaleString("en") + " ..." : "") +
      (found.engine === "reference" ? " (by the slower engine, while the fast one is compiled once)" : "");
    status(summary + bounded());
    performance.measure(first || found.final ? (first ? "first figures" : "final figures") : "figures",
      { start: mine.asked, end: performance.now() });
    at("progress").hidden = found.final;
    requestAnimationFrame(function () {
      if (running && running !== mine) { return; }
      charts.pods = found.charts.pods;
      charts.latency = found.charts.latency;
      Promise.all(["pods", "latency"].map(draw)).then(function () {
        performance.measure(first ? "first charts" : "final charts", { start: mine.asked, end: performance.now() });
        document.documentElement.dataset.drawn = String(found.replications);
      });
      [["troubles", true], ["told", false]].forEach(function (each) {
        fill(at(each[0]), found.lines.filter(function (one) { return Boolean(one.level) === each[1]; })
          .map(function (one) { return make("li", one.text, one.level ? { "class": one.level } : {}); }));
      });
      fill(at("why"), found.why.map(function (one) { return make("li", one); }));
      at("compared").hidden = !found.compared;
      at("compared").textContent = found.compared;
      table(at("rows"), ["", found.interval ? "median" : "value", found.interval || "", "unit"]
        .concat(pinned ? ["against the pinned variant"] : []),
        found.rows.map(function (row) { return pinned ? row : row.slice(0, 4); }), [1]);
    });
  }
  function tile(one) {
    var item = make("li", "", { "data-name": one.name }), value = make("b", one.value + " ");
    value.append(make("small", one.unit));
    item.append(make("span", one.title), value, make("span", one.interval));
    if (one.level) { item.classList.add(one.level); }
    if (one.verdict) {
      item.classList.add(one.verdict.kind);
      item.append(make("span", one.verdict.word, { "class": "verdict" }));
      if (one.verdict.change) { item.append(make("span", one.verdict.change)); }
    }
    return item;
  }
  function table(place, columns, rows, numbers) {
    var head = make("tr");
    columns.forEach(function (name, column) {
      head.append(make(name ? "th" : "td", name, name ? { scope: "col", "class": numbers.includes(column) ? "number" : "" } : {}));
    });
    var body = make("tbody"), top = make("thead");
    top.append(head);
    rows.forEach(function (row) {
      var line = make("tr");
      row.forEach(function (cell, column) {
        line.append(make(column ? "td" : "th", cell, column ? { "class": numbers.includes(column) ? "number" : "" } : { scope: "row" }));
      });
      body.append(line);
    });
    fill(place, [top, body]);
    return body;
  }
  function draw(name) {
    var chart = charts[name];
    return chart ? kpasimDraw.draw(at("chart-" + name), chart) : Promise.resolve();
  }
  kpasimDraw.walk(at("chart-pods"), at("spoken-pods"), function () { return charts.pods; });
  kpasimDraw.theme(function () { Object.keys(charts).forEach(draw); });

  // --- left: settings ---
  function set(path, value) {
    var knob = knobs.get(path);
    if (value === "") { value = "null"; }
    if (now.settings.get(path) === value) { return; }
    Array.from(now.settings.keys()).forEach(function (one) {
      if (one === path || one.startsWith(path + ".")) { now.settings.delete(one); }
    });
    if (!(knob && now.text === null && value === knob.data.before && !now.settings.has("workload"))) { now.settings.set(path, value); }
    change();
  }
  function undo(path) {
    var one = setup.changes.find(function (each) { return each.path === path; });
    var own = Array.from(now.settings.keys()).filter(function (key) { return key === path || path.startsWith(key + ".") || key.startsWith(path + "."); });
    own.forEach(function (key) { now.settings.delete(key); });
    if (now.text !== null && path.startsWith("service.")) {
      now.settings.set(path, one && one.before !== "not set" ? one.before : "null");
    }
    change();
  }
  function showSetup(found) {
    setup = found;
    if (!found.edited && now.text === found.manifest) { now.text = null; remember(); }
    var paths = found.knobs.map(function (one) { return one.path; });
    if (paths.join() !== Array.from(knobs.keys()).join()) { buildKnobs(found.knobs); }
    found.knobs.forEach(function (one) { update(knobs.get(one.path), one); });
    fill(at("changes"), found.changes.map(function (one) {
      var item = make("li"), text = make("span", one.path + ": "), button = make("button", "Undo", { type: "button", "aria-label": "Undo " + one.path });
      text.append(make("s", one.before), " " + one.now);
      button.addEventListener("click", function () { undo(one.path); });
      item.append(text, button);
      return item;
    }));
    at("undo-all").hidden = !found.changes.length && now.text === null && !now.settings.size;
    at("unpin").hidden = !pinned;
    at("pin").textContent = pinned ? "Pin this instead" : "Pin this variant";
    if (document.activeElement !== at("manifest")) { at("manifest").value = found.manifest; }
    gutter([]);
    fill(at("findings"), found.findings.map(function (one) {
      var item = make("li", "", { "class": one.level });
      item.append(make("b", one.level + ": "), one.text);
      return item;
    }));
    at("command").textContent = found.command;
    at("compare").textContent = found.compare;
    document.querySelectorAll(".compare, #copy-compare").forEach(function (one) { one.hidden = !found.compare; });
    at("copy-diff").disabled = !found.diff;
    if (said) { status(summary + bounded()); }
    if (at("shape")) {
      at("shape").value = found.load === "replay" ? config.trace : found.load in config.shapes ? found.load : "";
      at("flags-field").hidden = found.load !== "hey";
      at("trace-field").hidden = found.load !== "replay";
    }
    offerAcross(found.knobs);
  }
  function buildKnobs(all) {
    var open = new Map(Array.from(groups, function (pair) { return [pair[0], pair[1].open]; }));
    knobs.clear();
    groups.clear();
    all.forEach(function (one) {
      if (!groups.has(one.group)) {
        var group = make("details", "", { "class": "group" });
        group.append(make("summary", one.group));
        group.open = open.has(one.group) ? open.get(one.group) : groups.size === 0;
        groups.set(one.group, group);
        if (one.group === "Load") { group.append(loadFields()); }
        if (/^Service time/.test(one.group)) { group.append(catalogue("model", "From the catalogue", config.models, "model.service-time")); }
        if (/^GPUs/.test(one.group)) { group.append(catalogue("price", "Instance type and price", config.prices, "cluster.instance-types")); }
      }
      groups.get(one.group).append(knob(one));
    });
    var focused = document.activeElement.id;
    fill(at("knobs"), Array.from(groups.values()));
    if (focused && at(focused) && document.activeElement.id !== focused) { at(focused).focus(); }
  }
  function knob(data) {
    var id = "knob-" + data.path.replace(/[^a-z0-9]+/gi, "-");
    var place = make("div", "", { "class": "knob" }), head = make("div", "", { "class": "knob-head" });
    var words = data.stops.length && data.stops.every(function (one) { return /^[a-z{]/.test(one); });
    var field = words ? make("select", "", { id: id }) : make("input", "", { id: id, type: "text", spellcheck: "false", autocomplete: "off" });
    var slider = data.stops.length && !words ? make("input", "", { type: "range", min: "0", step: "1", "aria-label": data.label + ", slider" }) : null;
    var back = make("button", "Undo", { type: "button", "class": "undo", "aria-label": "Undo " + data.label });
    var label = make("label", data.label, { "for": id });
    var help = make("p", data.meaning + " ", { id: id + "-help" });
    help.append(make("span", [data.takes, data.default && data.default !== "none" ? "default: " + data.default : ""].filter(Boolean).join("; "), { "class": "takes" }));
    field.setAttribute("aria-describedby", id + "-help");
    head.append(label, back, field);
    place.append(head);
    if (slider) { place.append(slider); }
    place.append(help);
    if (!data.stops.length) { field.classList.add("long"); head.style.flexWrap = "wrap"; }
    var one = { place: place, field: field, slider: slider, back: back, data: data };
    function typed() { if (field.value.trim() !== one.data.value) { set(data.path, field.value.trim()); } }
    field.addEventListener("change", typed);
    field.addEventListener("keydown", function (event) { if (event.key === "Enter") { typed(); } });
    if (slider) {
      slider.addEventListener("input", function () {
        var value = one.data.stops[Number(slider.value)];
        field.value = value;
        slider.setAttribute("aria-valuetext", said(one.data, value));
        set(data.path, value);
      });
    }
    back.addEventListener("click", function () { undo(data.path); field.focus(); });
    knobs.set(data.path, one);
    return place;
  }
  function said(data, value) { return data.words && data.words[value] ? data.words[value] : value; }
  function update(one, data) {
    one.data = data;
    if (one.field.tagName === "SELECT" && Array.from(one.field.options, function (each) { return each.value; }).join() !== data.stops.join()) {
      fill(one.field, data.stops.map(function (value) { return make("option", said(data, value), { value: value }); }));
    }
    if (document.activeElement !== one.field || one.field.tagName === "SELECT") { one.field.value = data.value; }
    one.place.classList.toggle("changed", data.changed);
    one.back.hidden = !data.changed;
    if (one.slider && document.activeElement !== one.slider) {
      one.slider.max = String(data.stops.length - 1);
      one.slider.value = String(data.stops.indexOf(data.value));
    }
    if (one.slider) { one.slider.setAttribute("aria-valuetext", said(data, data.value)); }
  }
  function labelled(id, label, control, help) {
    var place = make("div", "", { "class": "field", id: id + "-field" });
    place.append(make("label", label, { "for": id }), control);
    if (help) { place.append(make("p", help)); }
    control.id = id;
    return place;
  }
  function catalogue(id, label, rows, path) {
    var list = make("select"), place;
    list.append(make("option", "choose ...", { value: "" }));
    rows.forEach(function (row, index) { list.append(make("option", row.label, { value: String(index) })); });
    list.addEventListener("change", function () {
      var row = rows[Number(list.value)];
      if (list.value === "") { return; }
      place.lastChild.textContent = row.about;
      set(path, row.value);
    });
    place = labelled(id, label, list, "As kpasim " + id + "s lists them, with their sources.");
    return place;
  }
  function loadFields() {
    var place = make("div"), shape = make("select");
    Object.keys(config.shapes).concat([config.trace]).forEach(function (one) { shape.append(make("option", one, { value: one })); });
    shape.addEventListener("change", function () {
      if (shape.value === config.trace) { at("trace-field").hidden = false; at("trace").focus(); return; }
      set("workload", config.shapes[shape.value]);
    });
    var flags = make("input", "", { type: "text", placeholder: "-n 50 -c 5 -t 180", spellcheck: "false" });
    flags.addEventListener("change", function () {
      ask({ kind: "hey", flags: flags.value }, undefined, function (message) {
        if (message.kind === "workload") { set("workload", message.text); } else { showProblems(message.problems); }
      });
    });
    var trace = make("input", "", { type: "text", placeholder: "trace.csv", spellcheck: "false" });
    trace.addEventListener("change", function () {
      if (trace.value.trim()) { set("workload", "{kind: replay, file: " + JSON.stringify(trace.value.trim()) + "}"); }
    });
    place.append(labelled("shape", "Shape of the load", shape), labelled("flags", "hey's flags", flags),
      labelled("trace", "Recorded trace", trace, "A file in the folder where kpasim ui was started, or beside the experiment."));
    return place;
  }

  // --- the manifest ---
  function gutter(wrong) {
    var count = at("manifest").value.split("\n").length, lines = [];
    for (var line = 1; line <= count; line += 1) {
      lines.push(wrong.includes(line) ? make("b", String(line)) : String(line), "\n");
    }
    fill(at("gutter"), lines);
    at("gutter").scrollTop = at("manifest").scrollTop;
  }
  function showProblems(found) {
    var inside = found.filter(function (one) { return one.line; }), others = found.filter(function (one) { return !one.line; });
    fill(at("lines"), inside.map(function (one) {
      var item = make("li"), button = make("button", "line " + one.line + ": " + one.message, { type: "button" });
      button.addEventListener("click", function () { select(one.line); });
      item.append(button);
      return item;
    }));
    fill(at("problems"), others.map(function (one) { return make("li", one.message); }));
    at("manifest").setAttribute("aria-invalid", String(inside.length > 0));
    gutter(inside.map(function (one) { return one.line; }));
    if (found.length) { status("The figures are those of the last state without an error."); }
  }
  function select(line) {
    var text = at("manifest").value, lines = text.split("\n"), start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    at("manifest").focus();
    at("manifest").setSelectionRange(start, start + (lines[line - 1] || "").length);
    at("manifest").scrollTop = Math.max(0, (line - 5) * at("manifest").scrollHeight / lines.length);
  }
  at("manifest").addEventListener("scroll", function () { at("gutter").scrollTop = at("manifest").scrollTop; });
  at("manifest").addEventListener("input", function () {
    gutter([]);
    clearTimeout(typing);
    typing = setTimeout(function () {
      now.text = at("manifest").value;
      // What the text says counts; settings of the service are in it.
      Array.from(now.settings.keys()).forEach(function (path) { if (path.startsWith("service.")) { now.settings.delete(path); } });
      change();
    }, TYPING_MS);
  });

  // --- pin, undo, copy, save ---
  at("pin").addEventListener("click", function () { pinned = copyOf(now); toast("Pinned. The next variant is drawn over it."); change(); });
  at("unpin").addEventListener("click", function () { pinned = null; at("pin").focus(); change(); });
  at("undo-all").addEventListener("click", function () { now = { text: null, settings: new Map() }; at("pin").focus(); change(); });
  async function copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
    } catch (error) {
      var place = make("textarea");
      place.value = text;
      document.body.append(place);
      place.select();
      document.execCommand("copy");
      place.remove();
    }
    document.documentElement.dataset.copied = text;
    toast("Copied " + what + ".");
  }
  [["command", "the command", function () { return setup.command; }],
    ["compare", "the command of the comparison", function () { return setup.compare; }],
    ["manifest", "the manifest", function () { return setup.manifest; }], ["diff", "the diff", function () { return setup.diff; }],
    ["address", "the address", function () { return location.href; }]].forEach(function (one) {
    at("copy-" + one[0]).addEventListener("click", function () { if (setup) { copy(one[2](), one[1]); } });
  });
  function save(what) {
    toast("Preparing the file ...");
    ask({ kind: "out", what: what, state: plain(now) }, undefined, function (message) {
      if (message.kind === "problems") { showProblems(message.problems); }
      if (message.kind !== "file") { return; }
      var link = make("a", "", { download: message.name });
      link.href = URL.createObjectURL(new Blob([message.text], { type: "application/octet-stream" }));
      link.click();
      setTimeout(function () { URL.revokeObjectURL(link.href); }, 60000);
      toast("Saved " + message.name + ".");
    }).catch(function (error) { toast(String(error.message)); });
  }
  at("save-experiment").addEventListener("click", function () { save("experiment"); });
  at("save-report").addEventListener("click", function () { save("report"); });

  // --- across one setting ---
  function offerAcross(all) {
    var choices = all.filter(function (one) { return one.stops.length > 1 && !["replications", "seed", "horizon"].includes(one.path); });
    var list = at("across-path"), chosen = list.value;
    if (choices.map(function (one) { return one.path; }).join() === Array.from(list.options, function (one) { return one.value; }).join()) { return; }
    fill(list, choices.map(function (one) { return make("option", one.label, { value: one.path }); }));
    list.value = chosen && choices.some(function (one) { return one.path === chosen; }) ? chosen : "service.annotations.max-scale";
    if (!list.value && choices.length) { list.value = choices[0].path; }
  }
  async function sweep() {
    if (across.abort) { across.abort.abort(); }
    var mine = across.abort = new AbortController();
    at("across-status").textContent = "Simulating ...";
    try {
      await ask({ kind: "across", path: at("across-path").value, state: plain(now) }, mine.signal, function (message) {
        if (across.abort !== mine) { return; }
        if (message.kind === "progress" && message.total) {
          at("across-status").textContent = "Simulating: " + message.done.toLocaleString("en") + " of " + message.total.toLocaleString("en") + " replications";
        }
        if (message.kind === "problems") { at("across-status").textContent = message.problems.map(function (one) { return one.message; }).join("; "); }
        if (message.kind === "across") { showAcross(message); }
      });
    } catch (error) { if (error.name !== "AbortError") { at("across-status").textContent = String(error.message); } }
  }
  function showAcross(found) {
    across.found = found;
    charts.across = found.chart;
    at("chart-across").hidden = at("across-table").hidden = false;
    at("across-status").textContent = found.replications + " replications at each value; " + found.units + ". Click a point, or press Take, to take its value." +
      (found.note ? " " + found.note : "") + (found.refused.length ? " Refused: " + found.refused.join("; ") : "");
    draw("across").then(function () {
      var place = at("chart-across");
      place.removeAllListeners("plotly_click");
      place.on("plotly_click", function (event) { take(event.points[0].pointNumber); });
      document.documentElement.dataset.across = found.path;
    });
    var body = table(at("across-rows"), found.columns.concat([""]), found.rows, [1, 3, 5]);
    Array.from(body.rows).forEach(function (row, place) {
      var button = make("button", "Take", { type: "button", "aria-label": "Take " + found.label + " " + found.words[place] });
      button.addEventListener("click", function () { take(place); });
      var cell = make("td");
      cell.append(button);
      row.append(cell);
      row.classList.toggle("now", found.values[place] === found.now);
    });
  }
  function take(place) {
    set(across.found.path, across.found.values[place]);
    toast(across.found.label + " is now " + across.found.words[place] + ".");
  }
  at("across-run").addEventListener("click", sweep);
  at("across-path").addEventListener("change", sweep);

  // On a narrow screen the charts are near: what is long is closed.
  if (matchMedia("(max-width: 59.99rem)").matches) { at("group-manifest").open = at("group-out").open = false; }
  addEventListener("hashchange", function () { recall(); change(); });
  recall();
  change();
})();
