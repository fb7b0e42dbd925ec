// The demo: each movement and each key press is a request; nothing is cached, so what is shown is what the server knows.
//
// Invariants
// - The token lives in this module's memory only: no storage, no cookie, not in an address.
// - Text from the server becomes text nodes, never markup.
// - An answer that was overtaken by a newer one is dropped.

const $ = (id) => document.getElementById(id);
const api = "/api/v1";
const SAMPLE = {
  title: "Tomato soup with basil", servings: 4,
  ingredients: [["Tomatoes", 1000], ["Onions", 150], ["Olive oil", 30], ["Garlic", 10], ["Basil", 20], ["Salt", 8]].map(([name, grams]) => ({ name, grams })),
};

let token = null;
const meter = { times: [], reads: [], frames: [], last: performance.now() };

class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `the server answered ${status}`);
    this.status = status;
  }
}

async function call(method, path, body, signal) {
  const began = performance.now();
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(api + path, { method, headers, signal, cache: "no-store", credentials: "omit", body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  measure(answer.headers.get("Server-Timing"), performance.now() - began);
  let value = null;
  try { value = text ? JSON.parse(text) : null; } catch { /* not JSON: the status tells */ }
  if (!answer.ok) {
    if (answer.status === 401 && token) signedOut();
    throw new Problem(answer.status, value);
  }
  return value;
}

const get = (path, fields, signal) => call("GET", `${path}?${new URLSearchParams(fields)}`, undefined, signal);

function say(error) {
  if (error?.name === "AbortError") return;
  $("problem").textContent = error ? error.message : "";
  $("problem").hidden = !error;
}

// ---- measurements

function measure(timing, milliseconds) {
  const found = /db;dur=([\d.]+)(?:;desc="(\d+))?/.exec(timing || "");
  const now = performance.now();
  meter.reads.push([now, found?.[2] ? Number(found[2]) : 1]);
  meter.times.push(milliseconds);
  if (meter.times.length > 120) meter.times.shift();
  $("round-trip").textContent = `${milliseconds.toFixed(1)} ms`;
  if (found) $("db-time").textContent = `${Math.round(Number(found[1]) * 1000)} µs`;
}

function frame(now) {
  meter.frames.push([now, now - meter.last]);
  meter.last = now;
  for (const list of [meter.frames, meter.reads]) while (list.length && list[0][0] < now - 1000) list.shift();
  $("frame-time").textContent = `${Math.max(...meter.frames.map(([, t]) => t)).toFixed(1)} ms`;
  $("reads-per-second").textContent = meter.reads.reduce((sum, [, n]) => sum + n, 0);
  draw();
  if ($("animate").checked && token) turn(now);
  requestAnimationFrame(frame);
}

function draw() {
  const canvas = $("trace"), pen = canvas.getContext("2d"), high = Math.max(4, ...meter.times);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = getComputedStyle(document.body).getPropertyValue("--accent");
  meter.times.forEach((t, n) => pen.fillRect(n * 2, canvas.height, 1.5, -Math.max(1, t / high * canvas.height)));
}

// ---- signing in

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  say(null);
  try {
    const session = await call("POST", "/sessions", { email: $("email").value, password: $("password").value });
    token = session.token;
    $("email-shown").textContent = $("email").value;
    $("password").value = "";
    show(true);
    await loadRecipes();
    $("q").focus();
  } catch (error) { say(error); }
});

$("sign-out").addEventListener("click", async () => {
  try { await call("DELETE", "/sessions/current"); } catch (error) { return say(error); } // still signed in
  signedOut();
});

function signedOut() {
  token = null;
  typing.abort(); // nothing of the former user arrives late
  typing = new AbortController();
  $("animate").checked = false;
  for (const id of ["ingredients", "results", "suggestions", "recipes"]) $(id).replaceChildren();
  $("document").hidden = true;
  $("q").value = "";
  show(false);
}

function show(signedIn) {
  $("sign-in").hidden = signedIn;
  for (const id of ["who", "numbers", "recipe", "search"]) $(id).hidden = !signedIn;
}

// ---- the recipe

async function loadRecipes() {
  const { items } = await get("/recipes", { limit: 100 });
  $("no-recipe").hidden = items.length > 0;
  $("scaled").hidden = items.length === 0;
  $("recipes").replaceChildren(...items.map(({ id, title }) => new Option(title, id)));
  if (items.length) await scale();
}

$("seed").addEventListener("click", async () => {
  say(null);
  try {
    await call("POST", "/recipes", SAMPLE);
    await loadRecipes();
  } catch (error) { say(error); }
});

let asked = 0, shown = 0;
async function scale() {
  const turn = ++asked, mine = token, guests = $("guests").value;
  $("guests-shown").textContent = guests;
  try {
    const recipe = await get(`/recipes/${$("recipes").value}`, { guests });
    if (turn < shown || token !== mine) return; // overtaken, or signed out meanwhile
    shown = turn;
    $("title").textContent = `${recipe.title}, for ${recipe.servings}`;
    $("ingredients").replaceChildren(...recipe.ingredients.map(({ name, grams }) => item("li", item("span", name), item("b", weight(grams)))));
    say(null);
  } catch (error) { say(error); }
}
$("guests").addEventListener("input", scale);
$("recipes").addEventListener("change", scale);

let busy = false;
async function turn(now) {
  if (busy || $("scaled").hidden) return; // at most one in flight: a slow server slows the slider, not the page
  busy = true;
  $("guests").value = Math.round(50.5 + 49.5 * Math.sin(now / 900));
  await scale();
  busy = false;
}

const weight = (grams) => grams >= 1000 ? `${(grams / 1000).toFixed(2)} kg` : `${grams < 10 ? grams.toFixed(1) : Math.round(grams)} g`;

// ---- search

let typing = new AbortController();
$("q").addEventListener("input", () => {
  typing.abort();
  typing = new AbortController();
  $("document").hidden = true;
  search($("q").value, typing.signal).catch(say);
});
$("q").addEventListener("keydown", (event) => {
  const first = $("suggestions").querySelector("button");
  if (event.key === "ArrowRight" && first && $("q").selectionStart === $("q").value.length) complete(first.dataset.text);
});

async function search(q, signal) {
  if (!q.trim()) {
    for (const id of ["results", "suggestions"]) $(id).replaceChildren();
    return;
  }
  const [found, suggested] = await Promise.all([
    get("/documents/search", { q, limit: 20 }, signal),
    get("/documents/suggest", { prefix: q, limit: 8 }, signal),
  ]);
  if (signal.aborted) return;
  $("suggestions").replaceChildren(...suggested.items.map(suggestion));
  $("results").replaceChildren(...found.items.map(result));
  $("count").textContent = found.items.length ? "" : "Nothing found.";
  say(null);
}

function suggestion({ text, documents }) {
  const button = item("button", text, item("small", ` ${documents}`));
  button.type = "button";
  button.dataset.text = text;
  button.addEventListener("click", () => complete(text));
  return button;
}

function complete(text) {
  $("q").value = `${text} `;
  $("q").focus();
  $("q").dispatchEvent(new Event("input"));
}

function result({ id, key, title, bytes }) {
  const button = item("button", title || key || id, item("small", `${key && title ? `${key} · ` : ""}${bytes.toLocaleString()} bytes`));
  button.type = "button";
  button.addEventListener("click", () => open(id).catch(say));
  return item("li", button);
}

const SHOWN_MAX = 200_000;
async function open(id) {
  const mine = token;
  const { body } = await call("GET", `/documents/${id}`);
  if (token !== mine) return; // signed out meanwhile
  const text = JSON.stringify(body, null, 2);
  $("document").textContent = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}\n… ${text.length - SHOWN_MAX} more characters` : text;
  $("document").hidden = false;
}

function item(tag, ...children) {
  const element = document.createElement(tag);
  element.append(...children);
  return element;
}

requestAnimationFrame(frame);
