/** What lies over the page: setup form, error card, reconnect banner, notices. */

import { button, byId, el, setText } from "../dom/elements.ts";
import type { Notice } from "../store/session.ts";
import type { Failure } from "../stream/connection.ts";
import type { Problem } from "../stream/query.ts";

const overlay = byId("overlay");

export function hideOverlay(): void {
  overlay.hidden = true;
  overlay.replaceChildren();
}

const FIELDS = [
  ["product_type", "Product type", "future_mbo"],
  ["symbol", "Symbol", "MNQH6"],
  ["dt", "Date (optional)", "the server's latest day"],
  ["start_time", "Start time, New York (optional)", "HH:MM"],
] as const;

/** The form for a missing or bad query value. `known` fills what the server already said. */
export function showSetup(
  problems: readonly Problem[],
  search: string,
  known: Readonly<Record<string, string>>,
): void {
  const params = new URLSearchParams(search);
  const wrong = new Map(problems.map((p) => [p.name, p]));
  const faulty = problems.filter((p) => p.given !== null);
  const rows = FIELDS.map(([name, label, placeholder]) => {
    const input = el("input", {
      name,
      placeholder,
      autocomplete: "off",
      spellcheck: "false",
      id: `setup-${name}`,
    });
    input.value = params.get(name) ?? known[name] ?? "";
    input.required = name === "product_type" || name === "symbol";
    const problem = wrong.get(name);
    const note = problem?.given ? `${problem.given} is not ${problem.allowed}` : "";
    if (note) input.setAttribute("aria-invalid", "true");
    return el("label", {}, el("span", {}, label), input, el("em", { class: "bad" }, note));
  });
  const other = faulty
    .filter((p) => !FIELDS.some(([name]) => name === p.name))
    .map((p) => el("p", { class: "bad" }, `${p.name} was ${p.given}; allowed: ${p.allowed}`));
  const form = el(
    "form",
    { id: "setup" },
    el("h2", {}, "Which session?"),
    el(
      "p",
      { class: "dim" },
      "The page shows one contract on one day, replayed or live from the server. Without a date the server plays its latest day from the start.",
    ),
    ...rows,
    ...other,
    el("div", { class: "actions" }, el("button", { type: "submit", class: "primary" }, "Open")),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    for (const problem of faulty) params.delete(problem.name);
    for (const [name, value] of new FormData(form)) {
      if (typeof value === "string" && value.trim() !== "") params.set(name, value.trim());
      else params.delete(name);
    }
    location.search = params.toString();
  });
  overlay.dataset.kind = "setup";
  overlay.replaceChildren(form);
  overlay.hidden = false;
  const first = form.querySelector<HTMLElement>("input[aria-invalid], input:required:placeholder-shown");
  (first ?? form.querySelector<HTMLElement>("button"))?.focus();
}

const ADVICE: Readonly<Record<string, string>> = {
  "1008":
    "The server refused this request. Correct the address of this page, or ask whoever runs the server.",
  "1011": "The server failed. Its log says more; try again in a while.",
  contract:
    "What the server sends is not what this page was built for. Rebuild the page, or update the server.",
};

/** The server's message word for word, as text. */
export function showError(failure: Failure, details: () => string, retry: () => void): void {
  const code = failure.code === null ? "contract" : String(failure.code);
  const copy = button("Copy details", () => {
    void navigator.clipboard.writeText(details()).then(() => setText(copy, "Copied"));
  });
  overlay.dataset.kind = "error";
  overlay.replaceChildren(
    el(
      "section",
      {
        class: "card",
        role: "alertdialog",
        "aria-labelledby": "error-title",
        "aria-describedby": "error-message",
      },
      el("h2", { id: "error-title" }, "The stream has stopped"),
      el("p", { id: "error-message", class: "message" }, failure.message),
      el(
        "p",
        { class: "dim" },
        [`code ${code}`, failure.errorCode].filter((t) => t && t !== "contract").join(" · "),
      ),
      el("p", {}, ADVICE[code] ?? "Try again; if it stays, look into the server's log."),
      el("div", { class: "actions" }, copy, button("Retry", retry, { class: "primary", id: "error-retry" })),
    ),
  );
  overlay.hidden = false;
}

const banner = byId("banner");
const bannerText = byId("banner-text");

export function setBanner(text: string | null): void {
  banner.hidden = text === null;
  if (text !== null) setText(bannerText, text);
}

const notices = byId("notices");
let shownNotices = "";

/** Notices stay until closed. */
export function showNotices(list: readonly Notice[], close: (id: number) => void): void {
  const key = list.map((notice) => notice.id).join();
  if (key === shownNotices) return;
  shownNotices = key;
  notices.replaceChildren(
    ...list.map((notice) =>
      el(
        "article",
        { class: "notice" },
        el(
          "div",
          {},
          el("b", {}, notice.title),
          el("ul", {}, ...notice.lines.slice(0, 6).map((line) => el("li", {}, line))),
          ...(notice.lines.length > 6
            ? [el("span", { class: "dim" }, `and ${notice.lines.length - 6} more, see Events`)]
            : []),
        ),
        button("×", () => close(notice.id), { "aria-label": "Close notice", class: "close" }),
      ),
    ),
  );
}
