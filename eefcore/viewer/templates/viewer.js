"use strict";
// The script of a page of trajectories. Text reaches the page as text nodes only, never as markup.
(() => {
  const ROW = 48; // pixels of a row of the list
  const LINES = 12; // lines of an observation that are shown at first
  const $ = (id) => document.getElementById(id);

  function el(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in node) node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== ""));
    return node;
  }

  // ---------------------------------------------------------------- blocks

  const opened = new Map();
  function block(name) {
    if (!opened.has(name)) opened.set(name, inflate(name));
    return opened.get(name);
  }
  async function inflate(name) {
    const holder = $(`block-${name}`);
    const bytes = Uint8Array.from(atob(holder.textContent), (c) => c.charCodeAt(0));
    holder.remove(); // it is kept inflated
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  let index, columns, names, N;
  const state = { tab: "episodes", filters: {}, q: "", sort: "order", episode: "", beside: "", tree: "", tokens: true, shade: false, use: "" };

  const textBlock = (id) => {
    let low = 0, high = index.text_starts.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (index.text_starts[middle] <= id) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  async function textsOf(ids) {
    const found = new Map();
    for (const k of new Set(ids.map(textBlock))) {
      const texts = await block(`texts${k}`);
      for (const id of ids) if (textBlock(id) === k) found.set(id, texts[id - index.text_starts[k]]);
    }
    return (id) => found.get(id);
  }
  const bodyOf = async (i) => (await block(`bodies${Math.floor(i / index.block.bodies)}`))[i % index.block.bodies];
  const idsOf = (body) => [...body.steps.flatMap((step) => [step[0], step[1]]), body.last, ...("refused" in body ? [body.refused] : [])];

  // ---------------------------------------------------------------- what an episode is called

  const part = (i) => index.parts[columns.part[i]];
  const nameOf = (i) => `${part(i).key}/${i - part(i).first}`;
  const treeName = (k) => `${index.parts[index.trees[k].part].key}/${index.trees[k].n}`;
  let byName, treeByName;
  const spoken = (text) => text.replaceAll("_", " ");
  const task = (i) => index.titles[columns.task[i]] || names.task[columns.task[i]];
  const skillsOf = (bits) => names.skill.filter((_, k) => Math.floor(bits / 2 ** k) % 2);
  const USES = ["trained", "preferred", "rejected"];
  const usesOf = (i) => (columns.uses[i] ? USES.filter((_, k) => (columns.uses[i] >> k) & 1) : ["only read"]);
  const ending = (i) => {
    const outcome = names.outcome[columns.outcome[i]], stop = names.stop[columns.stop[i]];
    const words = outcome === "failure" || stop !== "done" ? spoken(stop) : outcome;
    return el("span", { className: `badge ${outcome}` }, outcome === "failure" ? words : `${words} · ${columns.reward[i].toFixed(2)}`);
  };

  // ---------------------------------------------------------------- filters

  const FACETS = {
    run: (i) => [part(i).run || "–"],
    method: (i) => (part(i).methods.length ? part(i).methods : ["–"]),
    stage: (i) => [part(i).label],
    outcome: (i) => [names.outcome[columns.outcome[i]]],
    "stop reason": (i) => [names.stop[columns.stop[i]]],
    skill: (i) => (columns.skills[i] ? skillsOf(columns.skills[i]) : ["none"]),
    agent: (i) => [names.source[columns.source[i]] || "–"],
    learning: usesOf,
    start: (i) => [columns.expert[i] === 0 ? "task start" : columns.expert[i] === columns.actions[i] ? "expert alone" : "inside an expert’s"],
    task: (i) => [names.task[columns.task[i]]],
  };
  const SORTS = {
    order: ["in order", null],
    best: ["highest reward first", (a, b) => columns.reward[b] - columns.reward[a]],
    worst: ["lowest reward first", (a, b) => columns.reward[a] - columns.reward[b]],
    longest: ["longest first", (a, b) => columns.actions[b] - columns.actions[a]],
    shortest: ["shortest first", (a, b) => columns.actions[a] - columns.actions[b]],
    task: ["by task", (a, b) => columns.task[a] - columns.task[b]],
  };
  let values; // facet -> of each episode the numbers of its options
  let options; // facet -> options
  let listed = [];
  let matches = null; // a set of episodes that hold the words searched for; null without a search

  function makeFacets() {
    values = {}; options = {};
    for (const [facet, of] of Object.entries(FACETS)) {
      const numbers = new Map();
      const number = (name) => (numbers.has(name) || numbers.set(name, numbers.size), numbers.get(name));
      values[facet] = Array.from({ length: N }, (_, i) => of(i).map(number));
      options[facet] = [...numbers.keys()];
    }
  }

  function drawFilters() {
    const box = $("filters");
    const search = el("input", { type: "search", id: "q", placeholder: "text of pages, actions, tasks (press /)", value: state.q, "aria-label": "search" });
    let timer;
    search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => { state.q = search.value; refresh(); }, 150); });
    box.replaceChildren(el("label", { className: "wide" }, search));
    const shown = Object.keys(FACETS).filter((facet) => facet !== "task" && options[facet].length > 1);
    for (const facet of shown) {
      const select = el("select", { id: `f-${facet.replace(" ", "-")}` });
      select.addEventListener("change", () => { state.filters[facet] = select.value; refresh(); });
      box.append(el("label", {}, facet, select));
    }
    const sort = el("select", { id: "sort" }, ...Object.entries(SORTS).map(([value, [text]]) => el("option", { value }, text)));
    sort.addEventListener("change", () => { state.sort = sort.value; refresh(); });
    const clear = el("button", { id: "clear" }, "clear filters");
    clear.addEventListener("click", () => { state.filters = {}; state.q = ""; search.value = ""; refresh(); });
    box.append(el("label", {}, "order", sort), el("label", {}, " ", clear));
  }

  function drawOptions(passing) {
    for (const facet of Object.keys(FACETS)) {
      const select = $(`f-${facet.replace(" ", "-")}`);
      if (!select) continue;
      const counts = new Array(options[facet].length).fill(0);
      for (let i = 0; i < N; i++) if (passing(i, facet)) for (const k of values[facet][i]) counts[k]++;
      const chosen = state.filters[facet] || "";
      select.replaceChildren(el("option", { value: "" }, "all"), ...options[facet].map((name, k) => el("option", { value: name }, `${spoken(name)} (${counts[k].toLocaleString("en")})`)));
      select.value = chosen;
      select.className = chosen ? "set" : "";
    }
    $("sort").value = state.sort;
    $("q").className = state.q ? "set" : "";
  }

  let asked = 0;
  async function refresh() {
    const mine = ++asked;
    matches = state.q.trim() ? await find(state.q.trim().toLowerCase()) : null;
    if (mine !== asked) return;
    const wanted = Object.entries(state.filters).filter(([, value]) => value).map(([facet, value]) => [facet, options[facet].indexOf(value)]);
    const passing = (i, but) => (!matches || matches.has(i)) && wanted.every(([facet, k]) => facet === but || values[facet][i].includes(k));
    listed = [];
    for (let i = 0; i < N; i++) if (passing(i, "")) listed.push(i);
    if (SORTS[state.sort][1]) listed.sort((a, b) => SORTS[state.sort][1](a, b) || a - b);
    drawOptions(passing);
    summarise();
    drawList(true);
    writeLink();
  }

  function summarise() {
    if (state.tab === "trees") {
      $("summary").textContent = `${index.trees.length.toLocaleString("en")} search trees`;
      return;
    }
    const judged = listed.filter((i) => names.outcome[columns.outcome[i]] !== "failure");
    const wins = judged.filter((i) => names.outcome[columns.outcome[i]] === "win").length;
    const reward = judged.reduce((sum, i) => sum + columns.reward[i], 0) / judged.length;
    const rates = judged.length ? ` · ${((100 * wins) / judged.length).toFixed(1)} % won · mean reward ${reward.toFixed(2)}` : "";
    const only = state.filters.task ? ` of task ${state.filters.task}` : "";
    $("summary").textContent = `${listed.length.toLocaleString("en")} of ${N.toLocaleString("en")} episodes${only}${rates}`;
  }

  let lowered = null, textIds = null;
  async function find(words) {
    if (!lowered) {
      $("summary").textContent = "Reading all texts …";
      lowered = [];
      for (let k = 0; k + 1 < index.text_starts.length; k++) for (const text of await block(`texts${k}`)) lowered.push(text.toLowerCase());
      textIds = [];
      for (let k = 0; k * index.block.bodies < N; k++) for (const body of await block(`bodies${k}`)) textIds.push(idsOf(body));
    }
    const holds = lowered.map((text) => text.includes(words));
    const inTask = names.task.map((id, k) => id.toLowerCase().includes(words) || index.titles[k].toLowerCase().includes(words));
    const found = new Set();
    for (let i = 0; i < N; i++) if (inTask[columns.task[i]] || textIds[i].some((id) => holds[id])) found.add(i);
    return found;
  }

  // ---------------------------------------------------------------- the list, of which only what is seen is drawn

  const entries = () => (state.tab === "trees" ? index.trees.length : listed.length);
  function drawList(top = false) {
    const list = $("list"), count = entries();
    $("spacer").style.height = `${count * ROW}px`;
    if (top) list.scrollTop = 0;
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
    const last = Math.min(count, first + Math.ceil(list.clientHeight / ROW) + 8);
    const rows = [];
    for (let k = first; k < last; k++) rows.push(state.tab === "trees" ? treeRow(k) : episodeRow(k));
    list.replaceChildren($("spacer"), ...rows);
    if (!count) list.append(el("p", { className: "none" }, "Nothing passes the filters."));
  }
  function place(row, k, current) {
    row.style.top = `${k * ROW}px`;
    row.setAttribute("aria-current", String(current));
    row.tabIndex = -1;
    return row;
  }
  function episodeRow(k) {
    const i = listed[k], name = nameOf(i);
    const about = [part(i).label, names.source[columns.source[i]], `${columns.actions[i]} actions`, ...skillsOf(columns.skills[i]), ...(columns.uses[i] ? usesOf(i) : [])];
    const row = el("button", { className: name === state.beside ? "row beside" : "row", title: name },
      el("div", {}, ending(i), " ", task(i)), el("div", {}, about.filter(Boolean).join(" · ")));
    row.addEventListener("click", (event) => (event.shiftKey ? compare(name) : open(name)));
    return place(row, k, name === state.episode);
  }
  function treeRow(k) {
    const tree = index.trees[k];
    const row = el("button", { className: "row" },
      el("div", {}, tree.best === null ? "" : el("span", { className: `badge ${tree.best === 1 ? "win" : "loss"}` }, `best return ${tree.best.toFixed(2)}`), " ", index.titles[tree.task]),
      el("div", {}, `${index.parts[tree.part].label} · ${tree.simulations} simulations · ${tree.nodes.toLocaleString("en")} nodes`));
    row.addEventListener("click", () => openTree(treeName(k)));
    return place(row, k, treeName(k) === state.tree);
  }
  function move(by) {
    const names_ = state.tab === "trees" ? index.trees.map((_, k) => treeName(k)) : listed.map(nameOf);
    const here = names_.indexOf(state.tab === "trees" ? state.tree : state.episode);
    const next = Math.min(Math.max(here + by, 0), names_.length - 1);
    if (!names_.length) return;
    const list = $("list");
    if (next * ROW < list.scrollTop) list.scrollTop = next * ROW;
    if ((next + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (next + 1) * ROW - list.clientHeight;
    state.tab === "trees" ? openTree(names_[next]) : open(names_[next]);
  }

  // ---------------------------------------------------------------- links

  function writeLink() {
    const link = new URLSearchParams();
    for (const [facet, value] of Object.entries(state.filters)) if (value) link.set(facet, value);
    for (const name of ["q", "episode", "beside", "tree"]) if (state[name]) link.set(name, state[name]);
    if (state.sort !== "order") link.set("order", state.sort);
    const text = `#${link}`;
    if (text === location.hash || (text === "#" && !location.hash)) return;
    try { history.replaceState(null, "", text); } catch { /* a frame of a notebook has no address */ }
  }
  function readLink() {
    const link = new URLSearchParams(location.hash.slice(1));
    state.filters = {};
    for (const facet of Object.keys(FACETS)) if (link.has(facet) && options[facet].includes(link.get(facet))) state.filters[facet] = link.get(facet);
    state.q = link.get("q") || "";
    state.sort = Object.hasOwn(SORTS, link.get("order")) ? link.get("order") : "order";
    for (const name of ["episode", "beside", "tree"]) state[name] = link.get(name) || "";
    state.tab = (state.tree && index.trees.length) || !N ? "trees" : "episodes";
  }

  // ---------------------------------------------------------------- one episode, or two

  function open(name) { state.episode = name; state.tree = ""; state.use = ""; if (state.beside === name) state.beside = ""; show(); }
  function compare(name) { state.beside = state.beside === name || name === state.episode ? "" : name; show(); }
  function openTree(name) { state.tree = name; state.tab = "trees"; show(); }

  async function show() {
    writeLink();
    drawTabs();
    drawList();
    const shown = $("shown"), wanted = [state.episode, state.beside, state.tree].join();
    const parts = state.tab === "trees" ? await drawTree() : await drawEpisodes();
    if (wanted !== [state.episode, state.beside, state.tree].join()) return;
    shown.replaceChildren(...parts);
    shown.scrollTop = 0;
    document.body.classList.toggle("reading", Boolean(state.tab === "trees" ? state.tree : state.episode));
  }

  async function drawEpisodes() {
    if (!state.episode) return [help()];
    const i = byName.get(state.episode);
    if (i === undefined) return [el("p", { className: "none" }, `This page has no episode ${state.episode}.`)];
    const j = state.beside ? byName.get(state.beside) : undefined;
    const parts = [backButton(), el("h2", {}, task(i)), tools(i, j)];
    const left = await turnsOf(i);
    if (j === undefined || columns.task[j] !== columns.task[i]) return [...parts, about(i, left), ...left.turns.map((turn) => drawTurn(left, turn)), ...endOf(i, left)];
    const right = await turnsOf(j);
    parts.push(el("div", { className: "pair heads" }, about(i, left), about(j, right)));
    const { rows, parting } = align(left.turns, right.turns);
    rows.forEach(({ x, y, same }, k) => {
      if (k === parting) parts.push(el("div", { className: "part" }, "here they part"));
      const differs = parting !== null && k >= parting && !same;
      if (same && (parting === null || k < parting)) parts.push(drawTurn(left, x));
      else parts.push(el("div", { className: "pair" },
        x ? drawTurn(left, x, nameOf(i), differs) : el("div"), y ? drawTurn(right, y, nameOf(j), differs) : el("div")));
    });
    parts.push(el("div", { className: "pair" }, el("div", {}, ...endOf(i, left)), el("div", {}, ...endOf(j, right))));
    return parts;
  }

  function backButton() {
    const back = el("button", { id: "back" }, "‹ back to the list");
    back.addEventListener("click", () => { state.episode = ""; state.tree = ""; show(); });
    return back;
  }

  async function turnsOf(i) {
    const body = await bodyOf(i), text = await textsOf(idsOf(body));
    const marks = body.marks || [];
    const turns = body.steps.map((step, k) => {
      const [, action, flags, skills, ids, logps] = step;
      const answer = k + 1 < body.steps.length ? body.steps[k + 1][0] : body.last;
      return { k, action: text(action), answer: text(answer), expert: flags & 1, thought: (flags & 2) / 2, never: (flags & 4) / 4, skills: skillsOf(skills), ids, logps: logps || [] };
    });
    return { i, body, marks, turns, text, first: text(body.steps.length ? body.steps[0][0] : body.last) };
  }

  // Thoughts beside thoughts and other actions beside other actions; they part where they first do something different.
  function align(left, right) {
    const rows = [];
    let a = 0, b = 0, parting = null;
    while (a < left.length || b < right.length) {
      let x = left[a] || null, y = right[b] || null;
      if (x && y && x.thought !== y.thought) [x, y] = x.thought ? [x, null] : [null, y];
      const alike = x && y && x.action === y.action;
      if (parting === null && !alike && ![x, y].every((turn) => !turn || turn.thought)) parting = rows.length;
      rows.push({ x, y, same: Boolean(alike && x.answer === y.answer) });
      if (x) a++;
      if (y) b++;
    }
    return { rows, parting };
  }

  function about(i, { body, marks }) {
    const facts = [part(i).label, names.source[columns.source[i]] && `by ${names.source[columns.source[i]]}`, part(i).methods.length && `of ${part(i).methods.join(", ")}`,
      part(i).run, columns.expert[i] && columns.expert[i] < columns.actions[i] && `the first ${columns.expert[i]} of ${columns.actions[i]} actions are the expert’s`,
      body.sample && `sample ${body.sample}`, body.temperature && `temperature ${body.temperature}`, body.money && `$${body.money}`, `task ${names.task[columns.task[i]]}`];
    const learned = marks.map(([stage, use, actions]) => `${USES[use]} in ${stage}: actions ${ranges(actions)}`);
    return el("div", { className: "about" }, ending(i), ...facts.filter(Boolean).map((fact) => el("span", {}, String(fact))), ...learned.map((line) => el("span", {}, line)));
  }
  function ranges(numbers) {
    const out = [];
    for (const n of numbers) {
      const last = out[out.length - 1];
      if (last && last[1] === n - 1) last[1] = n;
      else out.push([n, n]);
    }
    return out.map(([a, b]) => (a === b ? `${a}` : `${a}–${b}`)).join(", ");
  }

  function tools(i, j) {
    const box = el("div", { className: "tools" });
    const same = [];
    for (let k = 0; k < N; k++) if (columns.task[k] === columns.task[i] && k !== i) same.push(k);
    if (same.length) {
      const select = el("select", { id: "beside", "aria-label": "episode beside it" }, el("option", { value: "" }, `compare with one of ${same.length} of this task …`),
        ...same.slice(0, 500).map((k) => el("option", { value: nameOf(k) }, `${part(k).label}, ${names.source[columns.source[k]] || "–"}: ${names.outcome[columns.outcome[k]]} ${columns.reward[k].toFixed(2)} (${nameOf(k)})`)));
      select.value = j === undefined ? "" : nameOf(j);
      select.addEventListener("change", () => { state.beside = select.value; show(); });
      const all = el("button", {}, "list this task");
      all.addEventListener("click", () => { state.filters = { task: names.task[columns.task[i]] }; refresh(); });
      box.append(select, all);
    }
    index.trees.forEach((tree, k) => {
      if (tree.task !== columns.task[i] || (index.parts[tree.part].run || "") !== (part(i).run || "")) return;
      const button = el("button", {}, `tree of ${index.parts[tree.part].label}`);
      button.addEventListener("click", () => openTree(treeName(k)));
      box.append(button);
    });
    for (const [name, text] of [["tokens", "tokens"], ["shade", "shade unlikely tokens"]]) {
      const button = el("button", { id: name, "aria-pressed": String(state[name]), title: "Point at a token for its log-likelihood." }, text);
      button.addEventListener("click", () => { state[name] = !state[name]; show(); });
      box.append(button);
    }
    const link = el("a", { href: `#${new URLSearchParams({ episode: nameOf(i), ...(j === undefined ? {} : { beside: nameOf(j) }) })}` }, "link to this");
    box.append(link);
    return box;
  }

  function drawTurn(of, turn, side = "", differs = false) {
    const trained = of.marks.some(([, use, actions]) => use < 2 && actions.includes(turn.k));
    const rejected = of.marks.some(([, use, actions]) => use === 2 && actions.includes(turn.k));
    const classes = ["move", turn.thought && "thought", turn.expert && "expert", trained && "trained", rejected && "rejected", differs && !turn.thought && "differs"];
    const sum = turn.logps.reduce((total, x) => total + (x ?? NaN), 0);
    const head = el("div", { className: "head" }, el("span", { className: "t" }, String(turn.k)),
      el("span", { className: "act", title: turn.logps.length ? `log π of the action ${sum.toFixed(3)}, ${turn.logps.length} tokens${trained ? ", trained" : ""}` : trained ? "trained" : "" }, turn.action),
      el("span", { className: "who" }, turn.expert ? "expert" : "policy"),
      ...turn.skills.map((name) => el("span", { className: "chip" }, name)),
      ...(of.body.mistakes || []).filter(([k]) => k === turn.k).map(([, kind]) => el("span", { className: "chip mistake", title: "a mistake that the expert made on purpose" }, spoken(kind))),
      turn.never ? el("span", { className: "who", title: "its record says that it is never trained" }, "read only") : "");
    const node = el("div", { className: classes.filter(Boolean).join(" ") }, head);
    if (side) node.dataset.side = side;
    if (turn.k === 0) node.prepend(...observation(of.first));
    if (state.tokens && turn.logps.length) node.append(drawTokens(of, turn, trained));
    if (!turn.thought || turn.answer.trim() !== "OK") node.append(...observation(turn.answer));
    return node;
  }
  function drawTokens(of, turn, trained) {
    const pieces = Array.isArray(turn.ids) && "vocabulary" in of.body ? turn.ids.map((k) => index.vocabularies[of.body.vocabulary][k]) : turn.logps.map(() => "▪");
    return el("div", { className: "tokens" }, ...pieces.map((piece, k) => {
      const logp = turn.logps[k], p = Math.exp(logp);
      const span = el("span", { title: logp === null || logp === undefined ? "no log-likelihood" : `${JSON.stringify(piece)}: log π ${logp.toFixed(4)}, p ${p.toPrecision(3)}${trained ? ", trained" : ", not trained"}` }, piece || "∅");
      if (state.shade && logp !== null) span.style.backgroundColor = `rgba(var(--likely), ${(0.85 * (1 - p)).toFixed(3)})`;
      return span;
    }));
  }
  function observation(text) {
    if (!text) return [];
    const pre = el("pre", {}, text);
    if (text.split("\n").length <= LINES && text.length < 1200) return [pre];
    pre.className = "clipped";
    const more = el("button", { className: "more" }, "show all");
    more.addEventListener("click", () => { pre.className = pre.className ? "" : "clipped"; more.textContent = pre.className ? "show all" : "show less"; });
    return [pre, more];
  }
  function endOf(i, of) {
    const out = of.turns.length ? [] : observation(of.first);
    if ("refused" in of.body) out.push(el("div", { className: "move" }, "no action in the last answer:", ...observation(of.text(of.body.refused))));
    if (of.body.reason) out.push(el("div", { className: "move" }, of.body.reason));
    return [...out, el("div", { className: "about" }, ending(i), el("span", {}, spoken(names.stop[columns.stop[i]])))];
  }
  function help() {
    return el("div", { className: "none" }, el("p", {}, "Choose an episode on the left; arrow keys or j and k move, / searches. Shift-click another episode of the same task, or press c on it, to see both side by side."),
      el("p", {}, "Marked actions are those that a stage trains or prefers; an edge in red marks a rejected one. Point at an action or a token for its log-likelihood."),
      ...index.notes.map((note) => el("p", {}, note)));
  }

  // ---------------------------------------------------------------- trees

  async function drawTree() {
    if (!state.tree) return [help()];
    const k = treeByName.get(state.tree);
    if (k === undefined) return [el("p", { className: "none" }, `This page has no tree ${state.tree}.`)];
    const tree = (await block(`trees${Math.floor(k / index.block.trees)}`))[k % index.block.trees];
    const text = await textsOf(tree.nodes.flatMap(([page, , , , edges]) => [page, ...edges.flatMap(([action, short]) => [action, short])]));
    const root = el("ul", { className: "tree" });
    drawEdges(tree, text, 0, root);
    const facts = `${index.parts[index.trees[k].part].label} · ${index.trees[k].simulations} simulations · ${tree.nodes.length.toLocaleString("en")} nodes · by the ${tree.signal} · task ${names.task[index.trees[k].task]}`;
    return [backButton(), el("h2", {}, index.titles[index.trees[k].task]), el("p", { className: "about" }, facts),
      el("p", { className: "about" }, "N: simulations through an action. Q̃: their mean return. Q̂: the critic’s estimate. Bold: the most visited path. An action shows its page."),
      ...observation(text(tree.nodes[0][0])), root];
  }
  // Children are drawn when they are first opened, so that a tree of any size and depth is shown at once.
  function drawEdges(tree, text, node, list) {
    const chain = [[node, list]];
    while (chain.length) {
      const [here, into] = chain.pop();
      const edges = [...tree.nodes[here][4]].sort((a, b) => b[4] - a[4]);
      for (const edge of edges) {
        const [item, below] = drawEdge(tree, text, edge);
        into.append(item);
        if (edge[7] && below) chain.push([edge[2], below()]);
      }
    }
  }
  function drawEdge(tree, text, [action, short, child, proposals, visits, mean, estimate, chosen]) {
    const [page, stop, reward, value, edges] = tree.nodes[child];
    const item = el("li"), end = stop ? `${spoken(stop)}${reward === null ? (value === null ? "" : ` · judged ${value.toFixed(2)}`) : ` · ${reward.toFixed(2)}`}` : "";
    const toggle = el("button", { "aria-expanded": "false", "aria-label": "actions below" }, edges.length ? "▸" : "");
    const name = el("span", { className: "act", title: text(action), tabIndex: 0, role: "button" }, text(short));
    item.append(el("div", { className: `node${chosen ? " chosen" : ""}${visits ? "" : " untried"}` }, toggle, name,
      el("span", { className: "stat" }, `N ${visits}`), visits ? el("span", { className: "stat" }, `Q̃ ${mean.toFixed(2)} `, el("meter", { min: 0, max: 1, value: mean })) : "",
      el("span", { className: "stat" }, `Q̂ ${estimate.toFixed(2)}`), proposals ? "" : el("span", { className: "who" }, "expert’s"),
      end ? el("span", { className: `badge ${value === 1 ? "win" : "loss"}` }, end) : ""));
    const showPage = () => {
      const shown = item.querySelector(":scope > .page");
      shown ? shown.remove() : item.firstChild.after(el("div", { className: "page" }, ...observation(text(page))));
    };
    name.addEventListener("click", showPage);
    name.addEventListener("keydown", (event) => { if (event.key === "Enter") showPage(); });
    let list = null;
    const openBelow = () => {
      list = el("ul");
      item.append(list);
      toggle.textContent = "▾";
      toggle.setAttribute("aria-expanded", "true");
      return list;
    };
    toggle.addEventListener("click", () => {
      if (!edges.length) return;
      if (!list) return drawEdges(tree, text, child, openBelow());
      list.hidden = !list.hidden;
      toggle.textContent = list.hidden ? "▸" : "▾";
      toggle.setAttribute("aria-expanded", String(!list.hidden));
    });
    return [item, edges.length ? openBelow : null];
  }

  // ---------------------------------------------------------------- start

  function drawTabs() {
    if (!index.trees.length || !N) return;
    const tab = (name, text) => {
      const button = el("button", { role: "tab", "aria-selected": String(state.tab === name) }, text);
      button.addEventListener("click", () => { state.tab = name; if (name === "episodes") state.tree = ""; $("list").scrollTop = 0; summarise(); show(); });
      return button;
    };
    $("tabs").replaceChildren(tab("episodes", "episodes"), tab("trees", "search trees"));
    $("filters").hidden = state.tab === "trees";
  }
  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "/" && !typing) { event.preventDefault(); $("q").focus(); }
    if (event.key === "Escape" && typing) event.target.blur();
    if (typing) return;
    const inList = $("list").contains(event.target) || event.target === document.body;
    const by = { j: 1, k: -1, ...(inList ? { ArrowDown: 1, ArrowUp: -1 } : {}) }[event.key];
    if (by) { event.preventDefault(); move(by); }
    if (event.key === "c" && document.activeElement?.classList.contains("row")) compare(document.activeElement.title);
  }
  async function follow() { readLink(); drawFilters(); await refresh(); await show(); }

  async function start() {
    index = await block("index");
    ({ columns, names } = index);
    N = columns.task.length;
    byName = new Map(Array.from({ length: N }, (_, i) => [nameOf(i), i]));
    treeByName = new Map(index.trees.map((_, k) => [treeName(k), k]));
    makeFacets();
    await follow();
    $("list").addEventListener("scroll", () => drawList());
    addEventListener("resize", () => drawList());
    addEventListener("hashchange", follow);
    document.addEventListener("keydown", keys);
    document.body.dataset.ready = "yes";
  }
  start().catch((error) => { $("summary").textContent = `This page can't be shown: ${error}`; });
})();
