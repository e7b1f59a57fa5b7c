/* Figures open in place; what is cut at the edge of the screen says so and can be reached by keyboard. */
(() => {
  "use strict";

  /* --- figures ------------------------------------------------------------------------------------------------ */

  let dialog;

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function build() {
    dialog = element("dialog", { id: "enlarged", "aria-label": "Enlarged figure" });
    document.body.append(dialog);
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
  }

  function open(link) {
    if (!dialog) build();
    const small = link.querySelector("img");
    const figure = link.closest("figure");
    const command = link.dataset.command || figure?.dataset.command;
    const image = element("img", { src: link.href, alt: small.alt });
    const frame = element("div", { class: "enlarged-image", tabindex: "0", role: "group", "aria-label": "Figure; scrolls sideways where it does not fit" }, image);
    const close = element("button", { type: "button", class: "enlarged-close btn" }, "Close");
    close.addEventListener("click", () => dialog.close());
    const download = element("a", { href: link.href, download: decodeURIComponent(link.href.split("/").pop()), class: "enlarged-download" }, "Download");
    const bar = element("div", { class: "enlarged-bar" });
    if (command) bar.append(element("span", { class: "enlarged-command" }, "Draw it: ", element("code", {}, command)));
    bar.append(download, close);
    dialog.replaceChildren(bar, frame);
    const caption = figure?.querySelector("figcaption .caption-text");
    if (caption) dialog.append(element("p", { class: "enlarged-caption" }, ...caption.cloneNode(true).childNodes));
    dialog.showModal();
    close.focus();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a.enlarge");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    open(link);
  });

  /* --- what scrolls sideways ---------------------------------------------------------------------------------- */

  const REGIONS = {
    Table: ".pst-scrollable-table-container, .companion-scroll, .verdicts-table, .settled-parameters, .cell_output .text_html",
    Code: "div.highlight pre, .cell_output pre, pre.literal-block",
    Formula: "article div.math > mjx-container, .wide-formula",
    Diagram: "figure.chapter-map",
  };

  function settle(region, scrolls, name) {
    if (scrolls === region.classList.contains("scrolls")) return;
    region.classList.toggle("scrolls", scrolls);
    const said = { tabindex: "0", role: "group", "aria-label": `${name}; scrolls sideways` };
    for (const [attribute, value] of Object.entries(said)) {
      if (scrolls) region.setAttribute(attribute, value);
      else region.removeAttribute(attribute);
    }
  }

  function mark() {
    for (const formula of document.querySelectorAll("article span.math > mjx-container")) {
      const block = formula.closest("p, li, dd, figcaption, h1, h2, h3") || formula.parentElement;
      const wide = (formula.querySelector("mjx-math")?.getBoundingClientRect().width || 0) > block.clientWidth + 1;
      formula.parentElement.classList.toggle("wide-formula", wide);
      if (!wide) settle(formula.parentElement, false);
    }
    for (const [name, selector] of Object.entries(REGIONS)) {
      for (const region of document.querySelectorAll(selector)) {
        const scrolls = region.scrollWidth > region.clientWidth + 1 && getComputedStyle(region).overflowX !== "visible";
        settle(region, scrolls, name);
      }
    }
  }

  let asked = 0;
  function markSoon() {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(mark);
  }

  function start() {
    mark();
    addEventListener("resize", markSoon);
    matchMedia("print").addEventListener("change", markSoon);
    const article = document.querySelector("article");
    if (article) new ResizeObserver(markSoon).observe(article);
    addEventListener("load", markSoon);
    document.addEventListener("toggle", markSoon, true);
    const typeset = () => window.MathJax?.startup?.promise?.then(markSoon);
    if (document.querySelector(".math")) addEventListener("load", () => (window.MathJax?.startup?.promise ? typeset() : setTimeout(typeset, 500)));
    document.fonts?.ready.then(markSoon);
    // A page that is printed is read on paper, whatever the screen shows.
    let theme;
    addEventListener("beforeprint", () => {
      theme = document.documentElement.dataset.theme;
      document.documentElement.dataset.theme = "light";
      for (const details of document.querySelectorAll("article details:not([open])")) {
        details.open = true;
        details.dataset.opened = "for print";
      }
    });
    addEventListener("afterprint", () => {
      document.documentElement.dataset.theme = theme;
      for (const details of document.querySelectorAll("details[data-opened]")) details.open = false;
    });
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
