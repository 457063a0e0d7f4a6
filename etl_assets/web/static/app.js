// Behaviour that HTML has no attribute for. Loaded once; listens on the document, so that swapped parts work as well.
"use strict";

const csrfToken = document.querySelector('meta[name="csrf-token"]').content;

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF-Token"] = csrfToken;
});

function showMessage(text) {
  const message = document.createElement("div");
  message.className = "message message--error";
  message.textContent = text;
  document.getElementById("messages").replaceChildren(message);
  message.scrollIntoView({ block: "nearest" });
}

document.addEventListener("htmx:responseError", (event) => {
  const answer = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html").querySelector(".message");
  if (answer) document.getElementById("messages").replaceChildren(answer);
  else showMessage(document.body.dataset.failed);
});
document.addEventListener("htmx:sendError", () => showMessage(document.body.dataset.offline));

// Dialogs: data-opens="ID" opens one, data-closes and a click beside it close it.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  if (event.target.closest("[data-closes]") || event.target.matches("dialog")) event.target.closest("dialog")?.close();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// Ticked rows: the count and the bar of actions follow.
function countTicks(form) {
  const ticked = form.querySelectorAll("[data-row-tick]:checked");
  const bar = form.querySelector("[data-selection-bar]");
  if (bar) {
    bar.hidden = ticked.length === 0;
  }
  for (const count of form.querySelectorAll("[data-selection-count]")) {
    count.textContent = ticked.length.toLocaleString(document.documentElement.lang);
  }
  for (const place of form.querySelectorAll("[data-selection-names]")) {
    const names = [...ticked].map((tick) => tick.closest("tr").querySelector(".cell--title a").textContent);
    place.textContent = names.length > 0 && names.length <= 3 ? `: ${names.join(" · ")}` : "";
  }
  const all = form.querySelector("[data-tick-all]");
  if (all) {
    const rows = form.querySelectorAll("[data-row-tick]").length;
    all.checked = rows > 0 && ticked.length === rows;
    all.indeterminate = ticked.length > 0 && ticked.length < rows;
  }
}
document.addEventListener("change", (event) => {
  const form = event.target.closest("form");
  if (!form) return;
  if (event.target.matches("[data-tick-all]")) {
    for (const tick of form.querySelectorAll("[data-row-tick]")) tick.checked = event.target.checked;
  }
  if (event.target.matches("[data-tick-all], [data-row-tick]")) countTicks(form);
});

// One of two fields is to be filled; the browser tells it before a form is sent.
function checkEither(group) {
  const [first, second] = group.querySelectorAll("select, input");
  const isBoth = first.value && second.value.trim();
  first.setCustomValidity(first.value || second.value.trim() ? "" : group.dataset.either);
  second.setCustomValidity(isBoth ? group.dataset.notBoth : "");
}
document.addEventListener("click", (event) => {
  for (const group of event.target.closest("form")?.querySelectorAll("[data-either]") ?? []) checkEither(group);
});
document.addEventListener("input", (event) => {
  const group = event.target.closest("[data-either]");
  if (group) checkEither(group);
});

// A change of ticked rows leaves the list where it was; its message is read out.
let place = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  place = event.detail.requestConfig.verb === "post" ? window.scrollY : null;
});
document.addEventListener("htmx:afterSettle", () => {
  if (place === null) return;
  document.querySelector("[data-told]")?.focus({ preventScroll: true });
  window.scrollTo({ top: place, behavior: "instant" });
  place = null;
});

// Filters: a change of a select applies them at once, typing after a pause.
let pause;
function applyFilters(form) {
  if (form.hasAttribute("hx-get")) form.dispatchEvent(new Event("filters-changed"));
  else form.requestSubmit();
}
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-filters]");
  if (form && event.target.matches("select, input[type=date], input[type=checkbox]")) applyFilters(form);
});
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-filters][hx-get]");
  if (!form || !event.target.matches("input[type=search], input[type=text], input[type=number]")) return;
  clearTimeout(pause);
  pause = setTimeout(() => applyFilters(form), 350);
});

// A form that is sent twice by a double click does its work once.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
  form.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
  }
});
