// Take it home: the settings as a short text, the plain PyTorch program for them, the panel as a page of its own.

import { make } from "./elements.js";
import { changedLines } from "./pure/lines.js";

function copyText(text, said) {
  const tell = (words) => { said.textContent = words; };
  const byHand = () => { // where the page is not served over https there is no clipboard interface
    const box = make("textarea", { class: "wl-offscreen", "aria-hidden": "true" });
    box.value = text;
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    tell(done ? "copied" : "not copied: select the text and copy it");
  };
  if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(text).then(() => tell("copied"), byHand);
  else byHand();
}

function saveFile(name, type, content) {
  const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export class Home {
  constructor(stage) {
    this.stage = stage;
    this.lines = null;
    this.said = make("output", { class: "wl-said" });
    this.text = make("input", { type: "text", class: "wl-state-text", readonly: true, spellcheck: "false", "aria-label": "these settings as a text" });
    this.pasted = make("input", { type: "text", class: "wl-state-text", spellcheck: "false", "aria-label": "settings as a text, to load", placeholder: "paste such a text here" });
    const load = () => { if (this.pasted.value.trim()) this.stage.send({ type: "load", text: this.pasted.value }); };
    this.pasted.addEventListener("keydown", (event) => { if (event.key === "Enter") load(); });
    this.text.addEventListener("focus", () => this.text.select());
    const button = (label, action, title) => make("button", { type: "button", text: label, title, onclick: action });
    this.code = make("pre", { class: "wl-code", tabindex: "0", role: "region", "aria-label": "PyTorch program" });
    this.codeRow = make("div", { class: "wl-row wl-code-row" }, make("strong", { text: "The same in plain PyTorch" }),
      button("Copy code", () => copyText(this.program, this.said), "Copy the program"),
      button("Save code", () => saveFile(`${this.name}_program.py`, "text/x-python", this.program), "Save the program as a file"));
    this.node = make("details", { class: "wl-home" }, make("summary", { text: "Take it home: these settings, the PyTorch code, a page" }),
      make("div", { class: "wl-row" }, this.text, button("Copy", () => copyText(this.text.value, this.said), "Copy the settings")),
      make("div", { class: "wl-row" }, this.pasted, button("Load", load, "Set the panel to what the text says")),
      make("div", { class: "wl-row" }, button("Save as a page", () => this.stage.send({ type: "page" }), "One HTML file that plays without a kernel"), this.said),
      this.codeRow, this.code);
    this.node.addEventListener("toggle", () => this.stage.send({ type: "home", open: this.node.open }));
    this.program = "";
    this.name = "weightlab";
  }

  take(message, buffers) {
    if (message.type === "page") {
      saveFile(message.name, "text/html", buffers[0]);
      this.said.textContent = `saved as ${message.name}, ${Math.ceil(buffers[0].byteLength / 1000)} kB`;
      return;
    }
    this.text.value = message.text;
    this.text.classList.toggle("wl-problem", Boolean(message.problem));
    this.said.textContent = message.problem || "";
    this.name = message.name;
    if (message.program === this.program) return;
    this.program = message.program;
    this.codeRow.hidden = this.code.hidden = !this.program;
    const lines = this.program.replace(/\n$/, "").split("\n");
    const changed = this.lines ? changedLines(this.lines, lines) : new Set();
    this.lines = lines;
    const rows = lines.map((line, i) => make("span", { class: changed.has(i) ? "wl-line wl-changed" : "wl-line", text: `${line}\n` }));
    this.code.replaceChildren(...rows);
    const first = rows.find((row) => row.classList.contains("wl-changed"));
    if (first) this.code.scrollTop = Math.max(0, first.offsetTop - this.code.offsetTop - this.code.clientHeight / 3);
  }
}
