"use strict";
// What a page does beside being read. Without it the page says the same: nothing is hidden that only a script shows.
// It asks no network and keeps nothing, so it runs in a frame with sandbox="allow-scripts" (the Kubeflow UI's).
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };

  // In a frame that holds the page's text (srcdoc) a relative link leads nowhere: only its text stays
  if (location.protocol === "about:") {
    all("a[href]").filter(link => !link.getAttribute("href").startsWith("#"))
      .forEach(link => link.replaceWith(...link.childNodes));
  }

  // What is folded is printed too
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    folded.forEach(one => { one.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach(one => { one.open = false; }));

  // A box that scrolls can be reached by the keyboard
  const boxes = all(".wide, .figure-box");
  const reach = () => boxes.forEach(box => {
    if (box.scrollWidth > box.clientWidth + 1) {
      const heading = box.closest("section")?.querySelector("h2");
      Object.assign(box, { tabIndex: 0, role: "region", ariaLabel: `${heading?.textContent || "Table"} (scrolls)` });
    } else if (box.hasAttribute("tabindex")) {
      ["tabindex", "role", "aria-label"].forEach(name => box.removeAttribute(name));
    }
  });
  addEventListener("resize", reach);
  all("details").forEach(one => one.addEventListener("toggle", reach));
  reach();

  // Each header becomes a button. The first click brings what a reader looks for to the top, the second one the other
  // end; what a row does not state stays last, and ties stay in the order of the page.
  const number = text => Number((text.replaceAll(",", "").match(/^-?[0-9.]+(e[-+]?[0-9]+)?/) || [NaN])[0]);
  const byText = (a, b) => a < b ? -1 : a > b ? 1 : 0;
  const compare = { text: byText, number: (a, b) => number(a) - number(b),
    version: (a, b) => number(a) - number(b) || byText(a, b) };
  for (const table of all("table.many").filter(one => one.querySelector("th[data-sort]"))) {
    const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
    table.classList.add("sorts");
    heads.forEach((head, column) => {
      const [kind, first] = head.dataset.sort.split(" ");
      const button = make("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      const value = row => row.cells[column].textContent;
      button.addEventListener("click", () => {
        const other = { ascending: "descending", descending: "ascending" }, way = other[head.ariaSort] || first;
        const there = rows.filter(row => !["", "\u2013"].includes(value(row)));
        const sign = way === "ascending" ? 1 : -1;
        there.sort((a, b) => sign * compare[kind](value(a), value(b)));
        body.append(...there, ...rows.filter(row => !there.includes(row)));
        heads.forEach(each => each.removeAttribute("aria-sort"));
        head.ariaSort = way;
      });
    });
  }

  // Filters: what holds data-marks ({"class": ["CAR"], ...}) is shown while each choice is among its marks
  for (const group of all("[data-filters]")) {
    const members = all("[data-marks]", group).map(node => ({ node, marks: JSON.parse(node.dataset.marks) }));
    const names = [...new Set(members.flatMap(({ marks }) => Object.keys(marks)))];
    const said = make("span", { className: "quiet", role: "status" });
    const selects = names.map(name => {
      const counts = new Map();
      members.forEach(({ marks }) => new Set(marks[name]).forEach(value => counts.set(value, 1 + (counts.get(value) || 0))));
      const select = make("select", {}, make("option", { value: "" }, "all"));
      [...counts].sort(([a], [b]) => byText(a, b))
        .forEach(([value, count]) => select.append(make("option", { value }, `${value} (${count})`)));
      return { name, select };
    }).filter(({ select }) => select.options.length > 2);
    if (!selects.length) continue;
    const choose = () => {
      members.forEach(({ node, marks }) => {
        node.hidden = selects.some(({ name, select }) => select.value && !(marks[name] || []).includes(select.value));
      });
      said.textContent = `${members.filter(({ node }) => !node.hidden).length} of ${members.length} shown`;
      reach();
    };
    selects.forEach(({ select }) => select.addEventListener("change", choose));
    choose();
    group.before(make("div", { className: "controls" },
      ...selects.map(({ name, select }) => make("label", {}, `${name} `, select)), said));
  }

  // Pictures: a click shows one as large as the window; the arrow keys go on to those that are shown, Escape leaves
  const pictures = all(".pictures img");
  if (pictures.length && "HTMLDialogElement" in window) {
    const image = make("img"), caption = make("p");
    let current = pictures[0];
    const show = picture => {
      current = picture;
      const text = picture.closest("figure").querySelector("figcaption").textContent;
      Object.assign(image, { src: picture.src, alt: text });
      caption.textContent = text;
    };
    const step = by => {
      const shown = pictures.filter(one => !one.closest("[hidden]"));
      show(shown[(shown.indexOf(current) + by + shown.length) % shown.length]);
    };
    const button = (text, work) => {
      const made = make("button", { type: "button" }, text);
      made.addEventListener("click", work);
      return made;
    };
    const dialog = make("dialog", { ariaLabel: "Picture" }, make("div", { className: "controls" },
      button("previous", () => step(-1)), button("next", () => step(1)), button("close", () => dialog.close())),
    image, caption);
    dialog.addEventListener("keydown", event => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) step(by);
    });
    dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
    document.body.append(dialog);
    pictures.forEach(picture => {
      const opener = make("button", { type: "button", className: "zoom" });
      picture.replaceWith(opener);
      opener.append(picture);
      opener.addEventListener("click", () => { show(picture); dialog.showModal(); });
    });
  }
})();
