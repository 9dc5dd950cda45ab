"""Runs steps: prepare, commit, put into place, apply, verify, note. Interrupted anywhere, it goes on at the next run."""

import time

from clic import disk
from clic.disk import Root
from clic.first_boot import certificate, state, steps
from clic.first_boot.steps import Step
from clic.first_boot.work import Failed, Work, read_step


def say(text: str) -> None:
    print(f"first boot: {text}", flush=True)


def run(root: Root, name: str) -> bool:
    """Runs one step unless it is done. Whether it is done, or not needed, afterwards."""
    try:
        step = read_step(root, name)
    except (Failed, OSError) as error:
        say(f"{name}: failed: {error}")
        return False
    if not step.applies(root):
        say(f"{name}: not needed on this device")
        return True
    with state.lock(root, name):
        work = Work(root, step)
        if state.is_done(root, name):
            # The power was cut between the note and the end.
            disk.remove_tree(work.path)
            say(f"{name}: was done before")
            return True
        started = time.monotonic()
        try:
            state.take_inventory(root)
            _do(root, step, work)
            # One after the other: a step that is noted done is done, with all its results on the disk.
            values = {key: state.sha256(value.encode()) for key, value in work.values().items()} if work.committed() else {}
            seconds = round(time.monotonic() - started, 1)
            state.note(root, name, "done", title=step.title, seconds=seconds, values=values)
        except (Failed, certificate.Failed, OSError) as error:
            say(f"{name}: failed, and what needs it stays down until the next boot: {error}")
            _note_failure(root, step, str(error))
            return False
        try:
            disk.remove_tree(work.path)
        except OSError as error:
            say(f"{name}: {work.path} is left behind: {error}")
        say(f"{name}: done in {seconds} s: {step.title}")
        return True


def _do(root: Root, step: Step, work: Work) -> None:
    if not work.committed():
        work.prepare()
    work.install()
    work.apply()
    _verify(root, step)


def _verify(root: Root, step: Step) -> None:
    """A secret that is missing, or still the one of all devices, is no secret."""
    image = state.image_hashes(root)
    for path in step.secret_paths(root):
        value = state.file_hash(root, path)
        if value is None or value == state.sha256(b""):
            raise Failed(f"{path} was not made")
        if value == image.get(path):
            raise Failed(f"{path} is still as the image had it")


def _note_failure(root: Root, step: Step, why: str) -> None:
    try:
        state.note(root, step.name, "failed", title=step.title, why=why)
    except OSError as error:
        say(f"{step.name}: can't be noted: {error}")


def finish(root: Root) -> bool:
    """Says how first boot ended, and notes it when nothing is left to do. Whether that is so."""
    found, wrong = steps.load_all(root)
    for name, why in wrong.items():
        say(f"{name}: can't be read: {why}")
    needed = [step for step in found if step.applies(root)]
    missing = sorted([step.name for step in needed if not state.is_done(root, step.name)] + list(wrong))
    if missing:
        say(f"not done: {', '.join(missing)}; the next boot tries again")
        return False
    own = sum(entry["state"] == "own" for entry in state.secrets(root))
    state.note_all_done(root)
    say(f"done: this device has {own} secrets of its own")
    return True


def run_all(root: Root) -> bool:
    """All steps in order, then the end: for tests, and for somebody who repairs a device by hand."""
    for name in steps.names(root):
        run(root, name)
    return finish(root)
