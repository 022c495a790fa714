/** Tabs of the side panel. */

import { byId } from "../dom/elements.ts";
import { remembered } from "./remembered.ts";

const TABS = ["tab-model", "tab-cell", "tab-events"];

export function listenToTabs(changed: () => void): void {
  for (const id of TABS) byId(id).addEventListener("click", () => openTab(id, changed));
  openTab(TABS.includes(remembered.tab) ? remembered.tab : TABS[0]!, changed);
}

function openTab(id: string, changed: () => void): void {
  remembered.tab = id;
  for (const tab of TABS.map((name) => byId(name))) {
    const chosen = tab.id === id;
    tab.setAttribute("aria-selected", String(chosen));
    byId(tab.getAttribute("aria-controls") ?? "").hidden = !chosen;
  }
  changed();
}
