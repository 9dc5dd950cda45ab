"""Chromium without a window, driven through its DevTools pipe (--remote-debugging-pipe): messages are JSON that ends with a
zero byte. So nothing is needed but Chromium and Python, and no port is open to others.

The protocol: https://chromedevtools.github.io/devtools-protocol/
"""

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .common import Failed

if TYPE_CHECKING:
    from .visit import Screen

Event = dict[str, Any]

PROGRAM = "chromium"
# Nothing of Chromium's own is to ask the network, or to make one run differ from the next.
FLAGS = [
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-extensions",
    "--disable-domain-reliability", "--no-pings", "--metrics-recording-only", "--password-store=basic", "--mute-audio",
    "--disable-gpu", "--hide-scrollbars", "--force-color-profile=srgb", "--font-render-hinting=none",
    # On a machine without much in /dev/shm, pages die without it.
    "--disable-dev-shm-usage",
    # A box has no TLS: a browser that tries it first only costs time.
    # A page that is played to the browser (Fetch.fulfillRequest) comes from no address, and may not ask local ones for more.
    "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,OptimizationHints,MediaRouter,Translate,"
    "LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
]
# Seconds until an answer; an emulated box and a throttled page are slow.
PATIENCE = 120


class Chromium:
    """A browser with a profile of its own. `rules` says where names lead (--host-resolver-rules)."""

    def __init__(self, rules: str) -> None:
        self.profile = tempfile.TemporaryDirectory(prefix="clic-chromium-", ignore_cleanup_errors=True)
        self.log = Path(self.profile.name) / "chromium.log"
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        profile = f"--user-data-dir={self.profile.name}/profile"
        argv = [PROGRAM, *FLAGS, profile, f"--host-resolver-rules={rules}", "about:blank"]
        with self.log.open("wb") as log:
            # Chromium reads from 3 and writes to 4. A group of its own: Ctrl-C is for us, who then end it.
            self.process = subprocess.Popen(
                ["sh", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "sh", *argv],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(theirs_in, theirs_out), start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)
        self.pipe = os.fdopen(ours_out, "wb", buffering=0)
        # Messages; None at the end.
        self.inbox: queue.Queue[Event | None] = queue.Queue()
        self.tabs: dict[str | None, Tab] = {}
        self.last = 0
        threading.Thread(target=self._read, args=(ours_in,), daemon=True).start()
        try:
            self.version = self.call("Browser.getVersion")
        except BaseException:
            self.close()
            raise

    def _read(self, descriptor: int) -> None:
        rest = b""
        with os.fdopen(descriptor, "rb", buffering=0) as pipe:
            while data := pipe.read(1 << 16):
                *whole, rest = (rest + data).split(b"\0")
                for message in whole:
                    self.inbox.put(json.loads(message))
        self.inbox.put(None)

    def send(self, method: str, session: str | None = None, **parameters: Any) -> int:
        """Asks for something and does not wait for the answer."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        try:
            self.pipe.write(json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise self._gone() from None
        return self.last

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Asks for something and returns the answer; events that come meanwhile go to their tabs."""
        number = self.send(method, session, **parameters)
        until = time.monotonic() + PATIENCE
        while True:
            message = self._next(until)
            if message is None:
                raise Failed(f"Chromium did not answer {method} within {PATIENCE} seconds")
            if message.get("id") == number:
                if "error" in message:
                    raise Failed(f"Chromium refused {method}: {message['error'].get('message')}")
                return message["result"]

    def pump(self, seconds: float) -> bool:
        """Lets events come for a while, or until one did; False if none did."""
        return self._next(time.monotonic() + seconds) is not None

    def _next(self, until: float) -> Event | None:
        try:
            message = self.inbox.get(timeout=max(0, until - time.monotonic()))
        except queue.Empty:
            return None
        if message is None:
            raise self._gone()
        if "method" in message:
            tab = self.tabs.get(message.get("sessionId"))
            if tab:
                tab.heard(message["method"], message["params"])
        return message

    def _gone(self) -> Failed:
        words = self.log.read_text(errors="replace").strip().splitlines()[-5:] if self.log.exists() else []
        return Failed("Chromium ended by itself:\n" + "\n".join(words))

    def close(self) -> None:
        try:
            self.send("Browser.close")
            self.process.wait(10)
        except (Failed, OSError, subprocess.TimeoutExpired):
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.pipe.close()
        self.profile.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Tab:
    """A tab that shares nothing with others: no cookies, no storage, no cache."""

    def __init__(self, browser: Chromium, screen: "Screen", accept_language: str, scheme: str = "light",
                 scripts: bool = True) -> None:
        self.browser = browser
        self.handlers: dict[str, list[Callable[[Event], None]]] = {}
        self.context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=self.context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.tabs[self.session] = self
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        agent = browser.version["userAgent"].replace("HeadlessChrome", "Chrome")
        self.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=accept_language)
        self.resize(screen)
        # Nothing is to move while we look.
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}])
        if not scripts:
            self.call("Emulation.setScriptExecutionDisabled", value=True)

    def resize(self, screen: "Screen") -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=screen.width, height=screen.height,
                  deviceScaleFactor=screen.scale, mobile=screen.mobile)
        self.call("Emulation.setTouchEmulationEnabled", enabled=screen.mobile)

    def call(self, method: str, **parameters: Any) -> Any:
        return self.browser.call(method, self.session, **parameters)

    def send(self, method: str, **parameters: Any) -> None:
        self.browser.send(method, self.session, **parameters)

    def on(self, event: str, handler: Callable[[Event], None]) -> None:
        self.handlers.setdefault(event, []).append(handler)

    def heard(self, event: str, parameters: Event) -> None:
        for handler in self.handlers.get(event, ()):
            handler(parameters)

    def evaluate(self, expression: str, wait: bool = False) -> Any:
        """The value of a JavaScript expression in the page; our own words are not subject to the page's policy."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=wait)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise Failed(f"in the page: {details.get('exception', {}).get('description', details['text'])}")
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Presses and releases a key."""
        text = {"Enter": "\r"}.get(key, "")
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def close(self) -> None:
        self.browser.tabs.pop(self.session, None)
        self.browser.call("Target.disposeBrowserContext", browserContextId=self.context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
