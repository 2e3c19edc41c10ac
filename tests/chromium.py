"""A browser for tests: headless Chromium, spoken to through two pipes, one JSON message after the other."""

import json
import os
import select
import shutil
import subprocess
import time

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WHY_NOT = "there is no chromium, chromium-browser or google-chrome (Debian: apt-get install chromium)"
_PATIENCE = 60  # seconds for any answer


class Page:
    """One page of a browser of its own; `events` are what the browser told without being asked."""

    def __init__(self, url, profile, width=1100, height=900):
        to_read, to_write = os.pipe(), os.pipe()  # the browser reads 3 and writes 4
        command = [
            PROGRAM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ]
        command += ["--remote-debugging-pipe", f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        command += ["--disable-extensions", "--no-first-run", "about:blank"]

        def renumber():
            os.dup2(to_read[0], 100)
            os.dup2(to_write[1], 101)
            os.dup2(100, 3)
            os.dup2(101, 4)

        self.process = subprocess.Popen(
            command, pass_fds=(3, 4), preexec_fn=renumber, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read[0])
        os.close(to_write[1])
        self.out, self.into, self.rest, self.number, self.events = to_read[1], to_write[0], b"", 0, []
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)
        self.wait_for(lambda: any(event["method"] == "Page.loadEventFired" for event in self.events))

    def call(self, method, **params):
        """What the browser answers."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, condition):
        """Reads events until the condition holds."""
        end = time.monotonic() + _PATIENCE
        while not condition():
            assert time.monotonic() < end, "the browser does not answer"
            self.events.append(self._next())

    def run(self, expression):
        """The value of an expression of JavaScript in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def _next(self):
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.into], [], [], _PATIENCE)
            part = os.read(self.into, 2**20) if ready else b""
            assert part, "the browser is gone or does not answer"
            self.rest += part
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def close(self):
        """Ends the browser."""
        for pipe in (self.out, self.into):
            os.close(pipe)
        self.process.terminate()
        self.process.wait(timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
