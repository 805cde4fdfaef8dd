// Keeps the front page current, and searches it while one types. Without it the page reloads itself, and the
// search is a form.
"use strict";
(function () {
  const search = document.getElementById("q");
  const parts = () => document.querySelectorAll("[data-live]");
  if (!search) return;

  const fold = (words) =>
    words.toLowerCase().replaceAll("đ", "d").normalize("NFD").replace(/\p{Mn}/gu, "");

  function filter() {
    const wanted = fold(search.value.trim());
    for (const card of document.querySelectorAll("[data-q]")) card.hidden = !card.dataset.q.includes(wanted);
    for (const group of document.querySelectorAll("[data-group]"))
      group.hidden = wanted !== "" && !group.querySelector("[data-q]:not([hidden])");
  }

  function show(page) {
    const fresh = document.createElement("template");
    fresh.innerHTML = page;
    for (const part of parts()) {
      const next = fresh.content.querySelector(`[data-live="${part.dataset.live}"]`);
      // A reader whose focus is in a part is in the middle of it: that part waits.
      if (next && !part.contains(document.activeElement)) part.replaceWith(next);
    }
    filter();
  }

  const asked = new URLSearchParams(location.search);
  asked.delete("q");
  new EventSource("/live?" + asked).addEventListener("message", (event) => show(event.data));
  search.addEventListener("input", filter);
  filter();
})();
