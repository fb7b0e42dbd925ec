#!/usr/bin/env python3
"""Tests /demo in a real browser: Chromium without a window, driven over its debugging pipe; Python's standard library only.

    server/demo/test.py                        starts target/release/monolite (or debug) on an empty folder
    server/demo/test.py --monolite PATH        another executable
    server/demo/test.py --screenshot FILE.png  also keeps a picture

Ends with 0 when all holds, 1 when something does not, and 0 with the word SKIPPED where Chromium is not installed.
"""
import argparse, base64, json, os, pathlib, secrets, select, shutil, socket, subprocess, sys, tempfile, time, urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
EMAIL, PASSWORD = "ann@example.com", "a long enough passphrase"
WAIT = 20  # seconds for anything awaited
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe", "--window-size=1200,900"]
DOCUMENTS = [
    {"id": "tokio", "name": "tokio", "description": "An event-driven, non-blocking I/O platform"},
    {"id": "tokio-util", "name": "tokio-util", "description": "Additional utilities for working with Tokio"},
    {"id": "serde", "name": "serde", "description": "A generic serialization framework"},
    {"id": "evil", "name": "<img src=x onerror=window.pwned=1>", "description": "<script>window.pwned=1</script>"},
]


class Browser:
    """One page of one Chromium, by DevTools messages with a NUL after each, over file descriptors 3 and 4."""

    def __init__(self, program, profile):
        to_read, self.to = os.pipe()
        self.come, from_write = os.pipe()

        def descriptors():  # high numbers first: one of the pipes may itself be 3 or 4
            a, b = os.dup2(to_read, 50), os.dup2(from_write, 51)
            os.dup2(a, 3), os.dup2(b, 4)

        self.process = subprocess.Popen([program, *FLAGS, f"--user-data-dir={profile}", "about:blank"], preexec_fn=descriptors,
                                        close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read), os.close(from_write)
        self.buffer, self.last, self.events, self.session = b"", 0, [], None
        pages = [t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        self.session = self.send("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive(WAIT)
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def receive(self, seconds):
        end = time.monotonic() + seconds
        while b"\0" not in self.buffer:
            if not select.select([self.come], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError("the browser did not answer")
            chunk = os.read(self.come, 1 << 20)
            if not chunk:
                raise RuntimeError("the browser ended")
            self.buffer += chunk
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def js(self, expression):
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, condition):
        """Waits in the page, frame by frame, until a condition holds."""
        held = self.js(f"""new Promise(done => {{ const end = performance.now() + {WAIT * 1000 * 0.8};
            const look = () => {{ let held = false; try {{ held = !!({condition}) }} catch {{}}
                if (held || performance.now() > end) done(held); else requestAnimationFrame(look) }}; look() }})""")
        if not held:
            raise AssertionError(f"never came true: {condition}; problem shown: {self.js(SHOWN_PROBLEM)!r}")

    def text(self, selector):
        return self.js(f"document.querySelector({json.dumps(selector)}).textContent")

    def click(self, selector):
        box = self.js(f"(e => {{ e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect();"
                      f" return [r.x + r.width / 2, r.y + r.height / 2] }})(document.querySelector({json.dumps(selector)}))")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def type(self, selector, text):
        self.js(f"(e => {{ e.focus(); e.select?.() }})(document.querySelector({json.dumps(selector)}))")
        for letter in text:
            self.send("Input.dispatchKeyEvent", type="keyDown", text=letter, key=letter)
            self.send("Input.dispatchKeyEvent", type="keyUp", key=letter)

    def key(self, name):
        self.send("Input.dispatchKeyEvent", type="keyDown", key=name, code=name, windowsVirtualKeyCode={"ArrowRight": 39, "Enter": 13}[name])
        self.send("Input.dispatchKeyEvent", type="keyUp", key=name, code=name)

    def requests(self, part):
        urls = [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [url for url in urls if part in url]

    def close(self):
        try:
            self.session = None
            self.send("Browser.close")
        except (RuntimeError, TimeoutError, OSError):
            self.process.kill()
        self.process.wait(WAIT)


SHOWN_PROBLEM = "document.getElementById('problem')?.textContent"


class Server:
    """The executable on an empty folder, with one admin and a few documents."""

    def __init__(self, program, folder):
        self.program, self.data = program, os.path.join(folder, "data")
        self.base, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.process = subprocess.Popen([program, "serve", "--data", self.data, "--listen", self.base, "--admin", admin],
                                        stdout=subprocess.DEVNULL, stderr=open(os.path.join(folder, "server.log"), "wb"))
        self.await_up()
        self.run("users", "create", "--email", EMAIL, "--admin", "--password-stdin", stdin=PASSWORD)
        lines = "\n".join(json.dumps(d) for d in DOCUMENTS)
        self.run("import", "documents", "-", "--id", ".id", "--title", ".name", "--owner", EMAIL, stdin=lines)

    def await_up(self):
        end = time.monotonic() + WAIT
        while True:
            try:
                return urllib.request.urlopen(f"http://{self.base}/livez", timeout=1)
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise RuntimeError("the server did not start; see server.log") from None
                select.select([], [], [], 0.05)

    def run(self, *words, stdin):
        done = subprocess.run([self.program, *words, "--data", self.data], input=stdin.encode(), capture_output=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.decode()}")

    def close(self):
        self.process.terminate()
        self.process.wait(40)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def check(held, what):
    if not held:
        raise AssertionError(what)
    print(f"  ok  {what}")


def test(browser, base, screenshot):
    browser.send("Page.navigate", url=f"http://{base}/demo")
    browser.until("document.readyState === 'complete' && document.getElementById('sign-in')")

    browser.type("#email", EMAIL)
    browser.type("#password", "not the passphrase")
    browser.key("Enter")
    browser.click("#sign-in button")
    browser.until("!document.getElementById('problem').hidden")
    check(browser.js("!document.getElementById('sign-in').hidden"), "a wrong password is refused and says so")

    browser.type("#password", PASSWORD)
    browser.click("#sign-in button")
    browser.until("document.getElementById('sign-in').hidden && !document.getElementById('recipe').hidden")
    stored = browser.js("localStorage.length + sessionStorage.length + document.cookie.length")
    check(stored == 0, "signed in; nothing is stored in the browser")

    browser.until("!document.getElementById('no-recipe').hidden")
    browser.click("#seed")
    browser.until("document.querySelectorAll('#ingredients li').length === 6")
    check("Tomatoes1.00 kg" in browser.text("#ingredients"), "a sample recipe is created, for four")

    browser.js("document.getElementById('guests').focus()")
    before = len(browser.requests("guests="))
    for _ in range(8):
        browser.key("ArrowRight")
    browser.until("document.getElementById('title').textContent.endsWith('for 12')")
    check("Tomatoes3.00 kg" in browser.text("#ingredients"), "the slider scales the recipe to 12 guests")
    check(len(browser.requests("guests=")) - before == 8, "each of 8 movements was one read")

    browser.type("#q", "tok")
    browser.until("document.querySelectorAll('#results li').length === 2")
    check(browser.text("#suggestions button").startswith("tokio"), "three letters find two documents and suggest their word")
    check(len(browser.requests("documents/search")) == 3, "each letter was one search")
    browser.click("#suggestions button")
    browser.until("document.getElementById('q').value === 'tokio '")
    browser.click("#results li:last-child button")
    browser.until("!document.getElementById('document').hidden")
    check('"description"' in browser.text("#document"), "a result opens its JSON")

    browser.type("#q", "onerror")
    browser.until("document.querySelectorAll('#results li').length === 1")
    check("<img" in browser.text("#results") and browser.js("window.pwned === undefined"), "a hostile title is shown, not run")
    if screenshot:
        picture = browser.send("Page.captureScreenshot")
        pathlib.Path(screenshot).write_bytes(base64.b64decode(picture["data"]))

    browser.click("#animate")
    rate = browser.js("""new Promise(done => { const seen = []; const look = () => {
        seen.push(Number(document.getElementById('reads-per-second').textContent));
        seen.length < 120 ? requestAnimationFrame(look) : done([Math.max(...seen), document.getElementById('frame-time').textContent,
            document.getElementById('db-time').textContent, document.getElementById('round-trip').textContent]) }; look() })""")
    check(rate[0] > 20, f"by itself: {rate[0]} reads/s, worst frame {rate[1]}, database {rate[2]}, round trip {rate[3]}")

    browser.click("#sign-out")
    browser.until("!document.getElementById('sign-in').hidden")
    check(browser.js("document.querySelectorAll('#results li, #ingredients li').length") == 0, "signing out leaves nothing on the page")

    browser.js("0")
    refused = [e["params"]["entry"] for e in browser.events if e.get("method") == "Log.entryAdded" and e["params"]["entry"]["level"] == "error"]
    refused = [e for e in refused if "401" not in e["text"]]  # the wrong password above
    thrown = [e["params"] for e in browser.events if e.get("method") == "Runtime.exceptionThrown"]
    check(not refused and not thrown, f"no error in the console, no refusal by the content policy {refused + thrown or ''}")
    elsewhere = [url for url in browser.requests("://") if not url.startswith((f"http://{base}/", "about:"))]
    check(not elsewhere, f"no request went elsewhere {elsewhere or ''}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--monolite", type=pathlib.Path)
    parser.add_argument("--screenshot")
    arguments = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        print("SKIPPED: the test of /demo needs Chromium (apt-get install chromium)")
        return 0
    program = arguments.monolite or next((p for p in (ROOT / f"target/{kind}/monolite" for kind in ("release", "debug")) if p.exists()), None)
    if not program:
        print("no executable: cargo build --release first, or --monolite PATH", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix=f"monolite-demo-{secrets.token_hex(3)}-", ignore_cleanup_errors=True) as folder:
        server = browser = None
        try:
            server = Server(str(program), folder)
            browser = Browser(chromium, os.path.join(folder, "profile"))
            test(browser, server.base, arguments.screenshot)
        except (AssertionError, RuntimeError, TimeoutError) as failed:
            print(f"FAILED: {failed}", file=sys.stderr)
            log = pathlib.Path(folder, "server.log")
            print(log.read_text()[-2000:] if log.exists() else "", file=sys.stderr)
            return 1
        finally:
            for part in (browser, server):
                if part:
                    part.close()
    print("the demo works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
