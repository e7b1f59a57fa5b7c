/* Looks through the text of the book (search-data.js) and shows the pages that fit best, chapters first. */
(() => {
  "use strict";

  const GREEK = { α: "alpha", β: "beta", γ: "gamma", δ: "delta", ε: "epsilon", ζ: "zeta", η: "eta", θ: "theta", κ: "kappa", λ: "lambda", μ: "mu", ν: "nu", ξ: "xi", π: "pi", ρ: "rho", σ: "sigma", τ: "tau", φ: "phi", χ: "chi", ψ: "psi", ω: "omega" };
  const KIND = { chapter: ["Chapter", 1], lab: ["Lab", 0.45], record: ["Record", 0.4], part: ["Part", 0.5], about: ["The book", 0.3] };

  /* Words as they are compared: lower case, without accents, Greek letters by name, hyphens as spaces, a space at
     either end, so that whole words and beginnings of words are plain substrings. */
  function words(text) {
    const plain = text
      .normalize("NFKD")
      .replace(/[\u0300-\u036f]/g, "")
      .toLowerCase()
      .replace(/[α-ω]/g, (letter) => ` ${GREEK[letter] || letter} `)
      .replace(/[^\p{L}\p{N}∞∇]+/gu, " ")
      .trim();
    return ` ${plain} `;
  }

  const has = (text, word) => text.includes(` ${word} `);
  const starts = (text, word) => word.length > 2 && text.includes(` ${word}`);
  const count = (text, word) => text.split(` ${word} `).length - 1;

  /* How well a text fits a query: whole words count, beginnings of words count less. */
  function fit(text, query) {
    let score = 0;
    for (const word of query) score += has(text, word) ? 1 : starts(text, word) ? 0.5 : 0;
    return score / query.length;
  }

  const BOOK = (window.BOOK || []).map((page) => ({
    ...page,
    title: page.s[0][1],
    heads: words(page.s[0][1]),
    terms: page.x.map(words),
    paper: words(page.p || ""),
    sections: page.s.map(([anchor, heading, text]) => ({ anchor, heading, text, head: words(heading), body: words(text) })),
  }));

  function rank(page, query, phrase) {
    const all = [page.heads, page.paper, ...page.terms, ...page.sections.flatMap((s) => [s.head, s.body])];
    for (const word of query) if (!all.some((text) => has(text, word) || starts(text, word))) return null;
    let score = 14 * fit(page.heads, query) + 8 * fit(page.paper, query);
    if (page.terms.some((term) => term === ` ${phrase} `)) score += 14;
    else if (page.terms.some((term) => has(term, phrase))) score += 7;
    const found = page.sections.map((section) => {
      let value = 4 * fit(section.head, query) + 2 * fit(section.body, query);
      value += Math.min(6, (query.length > 1 ? 3 : 1.5) * count(section.body, phrase));
      return { section, value };
    });
    found.sort((a, b) => b.value - a.value);
    // The best sections count in full, the many little ones hardly.
    found.forEach(({ value }, k) => (score += value / (k + 1)));
    return { page, score: score * KIND[page.k][1], found: found.filter(({ value }) => value > 1).slice(0, 3) };
  }

  /* The sentence around the first hit, with the hits marked. */
  function excerpt(text, query) {
    const marked = document.createElement("span");
    const pieces = text.split(/(\s+)/);
    const fits = pieces.map((piece) => {
      const own = words(piece);
      return query.some((word) => has(own, word) || starts(own, word));
    });
    const near = (k) => fits.slice(k, k + 8).filter(Boolean).length;
    let first = Math.max(0, fits.indexOf(true));
    for (let k = first; k < fits.length; k++) if (fits[k] && near(k) > near(first)) first = k;
    const from = Math.max(0, first - 24);
    const to = Math.min(pieces.length, from + 76);
    if (from > 0) marked.append("… ");
    for (let k = from; k < to; k++) {
      if (fits[k]) {
        const mark = document.createElement("mark");
        mark.textContent = pieces[k];
        marked.append(mark);
      } else marked.append(pieces[k]);
    }
    if (to < pieces.length) marked.append(" …");
    return marked;
  }

  function show(text) {
    const list = document.getElementById("search-results");
    const said = document.getElementById("search-count");
    list.replaceChildren();
    const phrase = words(text).trim();
    if (!phrase) {
      said.textContent = "";
      return;
    }
    const query = [...new Set(phrase.split(" "))];
    const results = BOOK.map((page) => rank(page, query, phrase)).filter(Boolean);
    results.sort((a, b) => b.score - a.score);
    said.textContent = results.length === 1 ? "One page" : results.length ? `${results.length} pages` : `Nothing about “${text.trim()}”`;
    for (const { page, found } of results.slice(0, 30)) {
      const item = document.createElement("li");
      const kind = document.createElement("span");
      kind.className = "search-kind";
      kind.textContent = page.n ? `Chapter ${page.n}` : KIND[page.k][0];
      const link = document.createElement("a");
      link.href = page.u;
      link.textContent = page.title;
      item.append(kind, link);
      for (const { section } of found) {
        const line = document.createElement("p");
        if (section.anchor) {
          const there = document.createElement("a");
          there.href = `${page.u}#${section.anchor}`;
          there.textContent = section.heading;
          line.append(there, " ");
        }
        line.append(excerpt(section.text, query));
        item.append(line);
      }
      list.append(item);
    }
  }

  const field = document.querySelector(".book-search input");
  field.value = new URLSearchParams(location.search).get("q") || "";
  field.addEventListener("input", () => {
    const address = new URL(location.href);
    address.searchParams.set("q", field.value);
    try {
      history.replaceState(null, "", address);
    } catch {
      // A page opened from a file keeps its address.
    }
    show(field.value);
  });
  field.form.addEventListener("submit", (event) => event.preventDefault());
  show(field.value);
  if (field.value === "") field.focus();
})();
