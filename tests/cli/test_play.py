"""`eef play booking`: the site in a person's browser, questions in the shell, and the grade at the end."""

import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

pytest.importorskip("starlette")
pytest.importorskip("selectolax")
pytest.importorskip("ada_url")
pytest.importorskip("uvicorn")

LISTENS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
"""A process that a shell put into the background ignores Ctrl-C, and so do those that it starts."""

EEF = (sys.executable, "-u", "-c", f"{LISTENS}from eefcore.cli.main import main; main()")


@contextmanager
def playing(*arguments):
    """Start the command, and yield it with the address that it prints and what it said before."""
    process = subprocess.Popen(
        [*EEF, "play", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = ""
        while not (found := re.search(r"The site: (\S+)\n", said)):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        process.stdout.readline()  # how to ask and to end
        yield process, found[1], said
    finally:
        process.kill()
        process.communicate()


def finish(address):
    """End the visit with the button of the page."""
    with httpx.Client(base_url=address) as client:
        token = re.search(r'name="csrf" value="(\w+)"', client.get("/").text)[1]
        answer = client.post("/finish", data={"csrf": token})
        return client.get(answer.headers["location"])


def test_the_button_of_the_page_ends_the_visit_and_it_is_graded():
    with playing("booking_mini", "--split", "test", "-n", "2") as (process, address, said):
        assert "PAGE" not in said and address.startswith("http://127.0.0.1:")
        page = finish(address)
        assert page.status_code == 200 and "date" not in page.headers and "server" not in page.headers
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "no  completed" in out and out.endswith("Reward 0\n")


def test_questions_are_answered_and_control_c_ends_the_visit():
    with playing("booking_mini") as (process, address, _):
        process.stdin.write("What is your phone number?\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("User: My phone number is ")
        assert httpx.get(address, headers={"host": "evil.example"}).status_code == 400
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "yes  nothing else" not in out and out.endswith("Reward 0\n")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("bookings",), "choose one of booking, booking_mini"),
        (("booking_mini", "--number", "1000"), "train has 200 tasks"),
        (("booking_mini", "--split", "tests"), "choose one of train, dev, test"),
    ],
)
def test_what_there_is_not_is_refused(arguments, message):
    run = subprocess.run([*EEF, "play", *arguments], capture_output=True, text=True, timeout=60)
    assert run.returncode and message in " ".join(run.stderr.replace("│", " ").split())
