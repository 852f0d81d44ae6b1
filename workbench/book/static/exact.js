// Instruments that a page computes itself, from exact tables. A rule takes the tables
// and the values of the controls by name, and gives the changes to the first figure,
// {path, value}, that the library's own function would give; a test holds the two
// against each other. Pure functions: no page is touched here.
(() => {
  "use strict";
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  const exp = (list) => list.map(Math.exp);
  const largest = (list) => list.reduce((a, b) => Math.max(a, b));
  // log of the probabilities with these logits
  const normal = (logits) => {
    const top = largest(logits), z = top + Math.log(sum(logits.map((l) => Math.exp(l - top))));
    return logits.map((l) => l - z);
  };
  const digits = (x, n) => String(Number(Number(x).toPrecision(n))); // Python's .ng
  const at = (...path) => (value) => ({ path, value });

  // PPO's gain against the ratio, for a praised and a punished token.
  const clip = ({ ratio }, { clip: e }) => {
    const gain = (r, A) => Math.min(r * A, Math.min(Math.max(r, 1 - e), 1 + e) * A);
    const lines = [1 - e, 1 + e, 1 - e, 1 + e].flatMap((x, n) => [
      at("layout", "shapes", n, "x0")(x), at("layout", "shapes", n, "x1")(x),
    ]);
    const [praised, punished] = [1, -1].map((A) => ratio.map((r) => gain(r, A)));
    const caption =
      `With ε = ${digits(e, 6)} the gain of a praised token is flat above ` +
      `${digits(1 + e, 6)}, that of a punished one below ${digits(1 - e, 6)}; on the ` +
      "other side nothing is clipped.";
    return [
      at("data", 2, "y")(praised), at("data", 5, "y")(punished), ...lines,
      at("caption")(caption),
    ];
  };

  // Self-improvement in a game of three responses; see walk_explorer.py.
  const wins = (P, logs) => P.map((row) => sum(row.map((p, y) => p * Math.exp(logs[y]))));
  const add = (one, two, k = 1) => one.map((x, y) => x + k * two[y]);
  const repeated = (rule, n, start) => {
    const path = [start];
    for (let t = 0; t < n; t++) path.push(rule(t, path[t]));
    return path;
  };
  const equilibrium = (P, ref, tau) => {
    const size = 1 / (1 + tau);
    const ahead = (base, against) => normal(
      base.map((l, y) => (1 - size * tau) * l + size * tau * ref[y] + size * wins(P, against)[y])
    );
    let logs = normal(ref);
    for (let n = 0; n < 20000; n++) {
      logs = ahead(logs, ahead(logs, logs));
      const rest = logs.map((l, y) => tau * (l - ref[y]) - wins(P, logs)[y]);
      if (largest(rest) - Math.min(...rest) < 1e-8) break;
    }
    return logs;
  };
  const walks = (P, ref, start, tau, n) => ({
    "best responses": repeated(
      (_, l) => normal(add(ref, wins(P, l), 1 / tau)), Math.min(n, 12), start),
    "self-play, τ = 0": repeated((_, l) => normal(add(l, wins(P, l), 0.5)), 5 * n, start),
    "Nash-MD": repeated((t, l) => {
      const eta = 2 / (tau * (t + 2)), w = eta * tau;
      const mixed = normal(l.map((x, y) => (1 - w) * x + w * ref[y]));
      return normal(add(mixed, wins(P, mixed), eta));
    }, n, start),
  });
  const corner = ([, second, third]) => [second + third / 2, third * Math.sqrt(3) / 2];
  // as torch.linspace(0, last, count).round(): halves go to the even number
  const thin = (path, most) => {
    const last = path.length - 1, count = Math.min(path.length, most);
    const even = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));
    return Array.from({ length: count }, (_, n) =>
      path[count < 2 ? 0 : even((n * last) / (count - 1))]);
  };
  const walk = ({ ref, starts, dots, near, first }, v) => {
    const P = [
      [0.5, v.first, 1 - v.third], [1 - v.first, 0.5, v.second], [v.third, 1 - v.second, 0.5],
    ];
    const nash = exp(equilibrium(P, ref, v.tau));
    const paths = walks(P, ref, starts[v.start].map(Math.log), v.tau, v.n);
    const arrived = [], changes = [];
    Object.entries(paths).forEach(([name, path], order) => {
      const end = exp(path[path.length - 1]), place = first + 3 * order;
      if (largest(end.map((p, y) => Math.abs(p - nash[y]))) < near) arrived.push(name);
      const xy = thin(path, dots).map((l) => corner(exp(l)));
      const [x, y] = [xy.map((p) => p[0]), xy.map((p) => p[1])];
      [[x, y], [x.slice(0, 1), y.slice(0, 1)], [x.slice(-1), y.slice(-1)]].forEach(
        (part, n) => changes.push(
          at("data", place + n, "x")(part[0]), at("data", place + n, "y")(part[1])));
    });
    const [x, y] = corner(nash);
    const title = `Three ways to improve against oneself, τ = ${digits(v.tau, 6)}`;
    return [
      at("data", first - 1, "x")([x]), at("data", first - 1, "y")([y]), ...changes,
      at("layout", "annotations", 0, "text")(title),
      at("caption")(`At the cross after ${v.n} steps: ${arrived.join(", ") || "none"}.`),
    ];
  };

  // The optimum at one β; see beta_state.py and beta_figure.py.
  const beta = ({ betas, ref, gold, rewards, names, bases, frontier }, v) => {
    const p = v.prompt, logs = ref[p], number = v.use_wrong ? 1 : 0;
    const reward = rewards[number][p], mean = (w, x) => sum(w.map((q, y) => q * x[y]));
    const stand = (r, b) => {
      const best = normal(logs.map((l, y) => l + r[y] / b)), w = exp(best);
      const kl = Math.max(0, sum(w.map((q, y) => (q > 0 ? q * (best[y] - logs[y]) : 0))));
      return { beta: b, w, kl, root: Math.sqrt(kl), gold: mean(w, gold[p]), proxy: mean(w, r) };
    };
    const here = stand(reward, v.beta), path = betas.map((b) => stand(reward, b));
    const best = frontier ? betas.map((b) => stand(gold[p], b)) : [];
    const base = structuredClone(bases[number]);
    const own = path.every((one) => Math.abs(one.gold - one.proxy) < 1e-6);
    const lines = { proxy: [path, "proxy"], gold: [path, "gold"] };
    lines["frontier: optima of gold"] = [best, "gold"];
    const few = (list) => list.filter((_, n) => n % 2 === 0);
    const dots = own ? ["gold"] : ["proxy", "gold"];
    const top = here.w.map((_, y) => y).sort((a, b) => here.w[b] - here.w[a]).slice(0, 10);
    const texts = top.map((y) => names[p][y]);
    const told = digits(v.beta, 3);
    for (const trace of base.data) {
      if (lines[trace.name] && trace.mode !== "markers") {
        const [list, key] = lines[trace.name];
        trace.x = few(list).map((one) => one.root);
        trace.y = few(list).map((one) => one[key]);
      } else if (trace.type === "bar") {
        const w = trace.name === "π_ref" ? exp(logs) : here.w;
        [trace.x, trace.hovertext] = [top.map((y) => w[y]), texts];
      } else if ((trace.name || "").startsWith("π* at")) {
        trace.name = `π* at β = ${told}`;
      } else if (dots.length && trace.x && trace.x[0] !== null) {
        [trace.x, trace.y] = [[here.root], [here[dots.shift()]]];
      }
    }
    const { shapes, title, yaxis2 } = base.layout;
    Object.assign(shapes[0], { x0: here.root, x1: here.root });
    yaxis2.ticktext = texts;
    const earned = (own ? ["gold"] : ["gold", "proxy"])
      .map((it) => `${it} ${here[it].toFixed(2)}`).join(", ");
    title.text = `Prompt “${p}”, β = ${told}: KL ${here.kl.toFixed(2)} nats, ${earned}`;
    return [
      at("data")(base.data), at("layout")(base.layout),
      at("caption")(betaTold(here, path, best, own)),
    ];
  };
  const betaTold = (here, path, best, own) => {
    const peak = path.reduce((a, b) => (b.gold > a.gold ? b : a));
    const most = own ? "as β → 0" : `β = ${digits(peak.beta, 2)}`;
    const loss = Math.max(0, peak.gold - here.gold).toFixed(2);
    const said = `At β = ${digits(here.beta, 3)} the optimum${own ? "" : " of the proxy"} is ` +
      `${here.kl.toFixed(2)} nats from the reference; its gold reward is ` +
      `${here.gold.toFixed(2)}, ${loss} reward units below the most that any β reaches (${most})`;
    if (own || !best.length) return `${said}.`;
    const rising = [...best].sort((a, b) => a.kl - b.kl);
    const n = rising.findIndex((one) => one.kl >= here.kl);
    const [low, high] = [rising[Math.max(0, n - 1)], rising[n < 0 ? rising.length - 1 : n]];
    const share = high.kl > low.kl ? (here.kl - low.kl) / (high.kl - low.kl) : 1;
    const bought = n < 0 ? high.gold : low.gold + share * (high.gold - low.gold);
    const lost = Math.max(0, bought - here.gold).toFixed(2);
    return `${said}, and ${lost} below what the frontier has at this KL.`;
  };

  // Three links of the margin; see link_state.py and link_explorer.py.
  // toFixed takes a half up, Python to the even digit
  const fixed = (x, n) => {
    const whole = x * 10 ** n;
    return (Math.abs(whole % 1) === 0.5 ? 2 * Math.round(whole / 2) / 10 ** n : x).toFixed(n);
  };
  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const families = ({ beta: b, tau: t }) => [
    ["DPO", (D) => softplus(-b * D), (D) => b / (1 + Math.exp(b * D))],
    ["hinge", (D) => Math.max(0, 1 - b * D), (D) => (b * D < 1 - 1e-9 ? b : 0)],
    ["IPO", (D) => (D - 1 / (2 * t)) ** 2, (D) => 2 * (1 / (2 * t) - D)],
  ];
  // lines that a later one covers; see Chart.drawn
  const covered = (lines) => {
    const seen = lines.flat().filter((y) => y !== null);
    const near = 0.01 * (largest(seen) - Math.min(...seen));
    const close = (a, b) => a !== null && b !== null && Math.abs(a - b) <= near;
    return lines.map((one, n) =>
      lines.slice(n + 1).some((other) => one.every((y, k) => close(y, other[k]))));
  };
  const link = ({ data, margins, seen, steps, rate, ends }, v) => {
    const e = v.flips, mean = (f, sign) => (D) => (1 - e) * f(D) + (e ? sign * e * f(-D) : 0);
    const within = (y, end) => (Math.abs(y) <= end ? y : null);
    const panels = [[], [], []], stops = [], told = [];
    for (const [name, lossOf, pushOf] of families(v)) {
      const loss = mean(lossOf, 1), push = mean(pushOf, -1);
      const path = repeated((_, D) => D + rate * push(D), steps, 0), D = path[steps];
      panels[0].push(margins.map((x) => within(loss(x), ends[0])));
      panels[1].push(margins.map((x) => within(push(x), ends[1])));
      panels[2].push(seen.map((step) => path[step]));
      stops.push([D, within(loss(D), ends[0])]);
      told.push(`${name} at ${fixed(D, 2)}`);
    }
    const traces = structuredClone(data), drawn = traces.filter((one) => one.mode === "lines");
    panels.flatMap((lines) => lines.map((y, n) => [y, covered(lines)[n]])).forEach(
      ([y, wide], n) => {
        const trace = drawn[n];
        [trace.y, trace.line.width] = [y, wide ? 7 : 2];
        if (wide) trace.opacity = 0.45;
        else delete trace.opacity;
      });
    const dots = traces.find((one) => one.mode === "markers");
    [dots.x, dots.y] = [stops.map((one) => one[0]), stops.map((one) => one[1])];
    const wins = e ? `wins ${fixed(100 * (1 - e), 0)}% of its labels` : "always wins";
    const caption =
      `After ${steps} steps with β = ${digits(v.beta, 6)} and τ = ${digits(v.tau, 6)} the ` +
      `margin of a pair that ${wins} is ${told.join(", ")} nats.`;
    return [at("data")(traces), at("caption")(caption)];
  };

  (globalThis.workbench ??= {}).rules = { beta, clip, link, walk };
})();
