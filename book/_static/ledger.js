// Filter the ledger: chips of one group are alternatives, groups and text narrow each other. Without this script all
// claims are shown. Works from a file.
document.addEventListener("DOMContentLoaded", () => {
  const bar = document.querySelector(".ledger-filter");
  if (!bar) return;
  const search = bar.querySelector(".ledger-search");
  const count = bar.querySelector(".ledger-count");
  const rows = [...document.querySelectorAll("tr.claim-row")];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const groups = [...bar.querySelectorAll(".chips")].map((group) => [...group.querySelectorAll(".chip")]);
  const chips = groups.flat();

  // A chip that no row answers to would only ever empty the page.
  for (const chip of chips) chip.hidden = !rows.some((row) => row.classList.contains(chip.dataset.class));

  function pressed(group) {
    return group.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.class);
  }

  function apply() {
    const wanted = groups.map(pressed).filter((names) => names.length);
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    let sound = 0;
    for (const row of rows) {
      const fits =
        wanted.every((names) => names.some((name) => row.classList.contains(name))) &&
        words.every((word) => texts.get(row).includes(word));
      row.hidden = !fits;
      shown += fits;
      sound += fits && row.classList.contains("is-sound");
    }
    for (const section of document.querySelectorAll(".ledger-chapter")) {
      section.hidden = !section.querySelector("tr.claim-row:not([hidden])");
    }
    count.textContent = `${shown} of ${rows.length} claims, ${sound} of them hold for their stance`;
  }

  for (const chip of chips) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      apply();
    });
  }
  search.addEventListener("input", apply);
  bar.querySelector(".ledger-reset").addEventListener("click", () => {
    for (const chip of chips) chip.setAttribute("aria-pressed", "false");
    search.value = "";
    apply();
  });
  // A link to a row that the filter hides shows it.
  window.addEventListener("hashchange", () => {
    if (document.querySelector("tr.claim-row:target")?.hidden) bar.querySelector(".ledger-reset").click();
  });
  bar.hidden = false;
  apply();
});
