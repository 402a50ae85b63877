// What the admin's pages do beyond HTML and htmx: times in the viewer's zone, tick all, copy, and a word when
// the connection is lost. Every page can be read without it.
"use strict";
const tongue = document.documentElement.lang;
// The viewer's own kind of the page's language: en-GB writes a day otherwise than en-US.
const kind = navigator.languages.find((one) => one.slice(0, 2) === tongue.slice(0, 2)) || tongue;
const whole = new Intl.DateTimeFormat(kind, { dateStyle: "medium", timeStyle: "short" });
const hour = new Intl.DateTimeFormat(kind, { hour: "2-digit", minute: "2-digit", hour12: false });

function localise(root) {
  for (const place of root.querySelectorAll("time[datetime]")) {
    place.title = place.dateTime;
    place.textContent = whole.format(new Date(place.dateTime));
  }
  for (const place of root.querySelectorAll("[data-hour]")) {
    place.textContent = hour.format(new Date(place.dataset.hour));
  }
  for (const button of root.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
  }
}

function sayWhetherStale(lost) {
  document.getElementById("stale").hidden = !lost;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) {
    navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.classList.add("done");
  }
});
document.addEventListener("change", (event) => {
  if (event.target.id === "tick-all") {
    for (const box of document.querySelectorAll("input[name=task][type=checkbox]")) {
      box.checked = event.target.checked;
    }
  }
});
// A page in the background asks for nothing.
document.addEventListener("htmx:beforeRequest", (event) => document.hidden && event.preventDefault());
document.addEventListener("htmx:load", (event) => localise(event.target.parentElement || document));
document.addEventListener("htmx:afterRequest", (event) => sayWhetherStale(!event.detail.successful));
localise(document);
