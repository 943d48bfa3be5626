"use strict";
// Before anything is drawn: the reader's last choice, else what the system prefers.
(function () {
  var wanted = null;
  try { wanted = localStorage.getItem("kpasim-theme"); } catch (error) { /* pages from a file may have no storage */ }
  var dark = wanted ? wanted === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
