/** What this browser remembers between visits; without storage it simply forgets. */

const PREFIX = "spymaster.";

function read(name: string): string | null {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch (error) {
    if (error instanceof DOMException) return null; // storage is switched off
    throw error;
  }
}

function write(name: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
}

export const remembered = {
  get tab(): string {
    return read("tab") ?? "tab-model";
  },
  set tab(id: string) {
    write("tab", id);
  },
  get shortcuts(): boolean {
    return read("shortcuts") !== "off";
  },
  set shortcuts(on: boolean) {
    write("shortcuts", on ? "on" : "off");
  },
};
