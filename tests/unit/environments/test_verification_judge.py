import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from environments.base import STATUSES
from environments.verification import symbolic
from environments.verification.answers import Answer, canonical
from environments.verification.symbolic import Judge, Pool, judge

ROOT = Path(__file__).resolve().parents[3]
BOMB = "(((9^{999})^{999})^{999})^{999}"  # about 10^12 digits
EQUAL = (r"2\sin x\cos x", r"\sin(2x)")  # only the judge can tell
OTHER = (r"2\sin x\cos x", r"\sin(3x)")
READY = "import sys, time\nprint('ready', flush=True)\n"


def read(text: str) -> Answer:
    answer = canonical(text)
    assert answer is not None, text
    return answer


def child(monkeypatch, tmp_path, program: str) -> None:
    """Puts a stand-in in the child's place."""
    path = tmp_path / "child.py"
    path.write_text(program)
    monkeypatch.setattr(symbolic, "_CHILD", path)


# The symbolic judge


@pytest.mark.parametrize(
    ("gold", "prediction", "status"),
    [
        ("18", "18", "correct"),
        (*EQUAL, "correct"),
        (*OTHER, "wrong"),
        ("(x+1)(x-2)", "x^2-x-2", "correct"),
        (r"\frac{\sqrt{2}}{2}", r"1/\sqrt{2}", "correct"),
        ("2^{10}", "1024", "correct"),
        ("1/2^{99}", "1/2^{98}", "wrong"),  # math-verify alone says correct
        (r"\{1,2\}", r"\{2,1\}", "correct"),
        ("(1,2)", "(1,2.0)", "correct"),
        ("(1,2)", "(2,1)", "wrong"),
        ("[0,1)", "[0,1]", "wrong"),
        (r"\pi", "3.141593", "wrong"),
        ("x<3", "3>x", "correct"),
        ("x<3", "x>3", "wrong"),
        ("A", "B", "wrong"),
        ("4", "2+2", "wrong"),
    ],
)
def test_the_judge_compares(gold, prediction, status):
    assert judge(read(gold), read(prediction), 30.0) == status


def test_numbers_start_no_process(monkeypatch):
    monkeypatch.setattr(Judge, "_start", lambda self: pytest.fail("a process was started"))
    symbolic.pool.close()
    assert judge(read("18"), read("18.0")) == "correct"
    assert judge(read("18"), read("2+16")) == "wrong"


def test_importing_starts_and_loads_nothing():
    program = (
        "import sys, environments.math_text, environments.verification.symbolic as s;"
        "slow = {'mpmath', 'sympy', 'math_verify', 'torch', 'ray', 'pyarrow'};"
        "print(s.pool.pids, sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] []"


@pytest.fixture
def own():
    judge = Judge()
    yield judge
    judge.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def soon_dead(pid: int, seconds: float = 20) -> bool:
    """Whether the process is gone within `seconds`."""
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def test_the_child_is_killed_at_the_deadline_and_the_next_verdict_works(own, tmp_path, monkeypatch):
    sleeper = (
        "for line in sys.stdin:\n if 'sleep' in line: time.sleep(100)\n print('wrong', flush=True)"
    )
    child(monkeypatch, tmp_path, READY + sleeper)
    assert own.ask("x", "y", 30.0) == "wrong"
    first = own.pid
    start = time.monotonic()
    assert own.ask("x", "sleep", 0.3) == "timeout"
    assert time.monotonic() - start < 1.3
    assert soon_dead(first)
    assert own.ask("x", "y", 30.0) == "wrong"
    assert own.pid != first


def test_a_child_that_is_slow_to_start_is_waited_for_by_the_next_question(
    own, tmp_path, monkeypatch
):
    program = (
        "import time; time.sleep(0.5)\n"
        + READY
        + "for line in sys.stdin: print('wrong', flush=True)"
    )
    child(monkeypatch, tmp_path, program)
    assert own.ask("x", "y", 0.1) == "timeout"
    first = own.pid
    assert own.ask("x", "y", 30.0) == "wrong"
    assert own.pid == first


def test_a_child_that_dies_is_a_crash_and_the_next_verdict_works(own):
    assert own.ask(*EQUAL, 30.0) == "correct"
    os.kill(own.pid, signal.SIGKILL)
    assert own.ask(*EQUAL, 30.0) == "crash"
    assert own.ask(*EQUAL, 30.0) == "correct"


def test_memory_is_limited(own, tmp_path, monkeypatch):
    """The real child, but for its question: how many MiB it can hold."""
    program = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("child", {str(symbolic._CHILD)!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.make_compare = lambda: lambda _, size: "correct" if bytearray(int(size) << 20) else "wrong"
import sys
module.serve(int(sys.argv[1]))
"""
    child(monkeypatch, tmp_path, program)
    judge = Judge(memory=256 << 20)
    assert judge.ask("", "16", 30.0) == "correct"
    assert judge.ask("", "500", 30.0) == "crash"
    assert judge.pid is None
    judge.close()


def test_processor_time_and_files_are_limited(own):
    assert own.ask(*EQUAL, 5.0) == "correct"
    limits = Path(f"/proc/{own.pid}/limits").read_text()
    soft = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert soft["Max address space"] == str(symbolic.MEMORY)
    assert 5 <= int(soft["Max cpu time"]) <= 9
    for name in ("Max file size", "Max processes", "Max core file size"):
        assert soft[name] == "0"


def test_a_child_that_cannot_start_is_a_crash():
    judge = Judge(memory=1 << 20)
    assert judge.ask(*EQUAL, 30.0) == "crash"
    assert judge.pid is None


def test_the_child_is_replaced_after_its_number_of_verdicts():
    judge = Judge(verdicts=2)
    pids = []
    for _ in range(5):
        assert judge.ask(*EQUAL, 30.0) == "correct"
        pids.append(judge.pid)
    judge.close()
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]


def test_restarts_leak_neither_files_nor_processes(own, tmp_path, monkeypatch):
    """A stand-in for the child that answers at once, so that fifty restarts take seconds."""
    stand_in = tmp_path / "child.py"
    stand_in.write_text(
        "import sys\nprint('ready', flush=True)\n"
        "for line in sys.stdin: print('correct', flush=True)\n"
    )
    monkeypatch.setattr(symbolic, "_CHILD", stand_in)
    own.verdicts = 1
    assert own.ask("x", "y", 30.0) == "correct"
    files = len(os.listdir("/proc/self/fd"))
    pids = []
    for _ in range(50):
        assert own.ask("x", "y", 30.0) == "correct"
        pids.append(own.pid)
    assert len(set(pids)) == 50
    assert len(os.listdir("/proc/self/fd")) == files
    assert [pid for pid in pids[:-1] if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.parametrize("reply", ["nonsense", "correct " * 20, "ready", ""])
def test_an_unknown_reply_is_never_paid(own, tmp_path, monkeypatch, reply):
    stand_in = tmp_path / "child.py"
    stand_in.write_text(
        "import sys\nprint('ready', flush=True)\n"
        f"for line in sys.stdin: print({reply!r}, flush=True)\n"
    )
    monkeypatch.setattr(symbolic, "_CHILD", stand_in)
    assert own.ask("x", "y", 30.0) == "crash"
    assert own.pid is None


def test_the_child_sees_nothing_of_the_parents_environment(own, monkeypatch):
    monkeypatch.setenv("COEVO_TEST_SECRET", "sesame")
    assert own.ask(*EQUAL, 30.0) == "correct"
    seen = Path(f"/proc/{own.pid}/environ").read_bytes()
    names = {entry.split(b"=")[0] for entry in seen.split(b"\0") if entry}
    assert b"sesame" not in seen
    assert names <= {b"LC_ALL", b"PYTHONHASHSEED", b"LD_LIBRARY_PATH"}
    open_files = [
        os.readlink(f"/proc/{own.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{own.pid}/fd")
    ]
    assert all(name.startswith(("pipe:", "/dev/null")) for name in open_files), open_files


def test_any_thread_may_ask(own):
    questions = [(*EQUAL, "correct"), (*OTHER, "wrong")] * 6
    found: dict[int, str] = {}

    def ask(n: int) -> None:
        found[n] = own.ask(*questions[n][:2], 60.0)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n] for n in range(len(questions))] == [status for *_, status in questions]
    assert own.ask(*EQUAL, 60.0) == "correct"  # outlives the thread that started it


@pytest.mark.parametrize("busy", [False, True])
def test_the_child_dies_with_its_parent(busy):
    program = f"""
import os, signal, sys, threading
sys.path.insert(0, {str(ROOT)!r})
from environments.verification.symbolic import Judge
judge = Judge()
judge.ask("x", "y", 60.0)
print(judge.pid, flush=True)
if {busy}:
    os.kill(judge.pid, signal.SIGSTOP)
    threading.Timer(0.3, os.kill, (judge.pid, signal.SIGCONT)).start()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
    judge.ask("x", "y", 10.0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    pid = int(done.stdout)
    if busy:
        os.kill(pid, signal.SIGCONT)
    assert soon_dead(pid)


def test_a_forked_process_starts_its_own_child():
    assert symbolic.pool.ask(r"5\sin x\cos x", r"\frac{5}{2}\sin(2x)", 30.0) == "correct"
    question = (r"3\sin x\cos x", r"\frac{3}{2}\sin(2x)")
    ours = symbolic.pool.pids
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = symbolic.pool.ask(*question, 30.0)
        os.write(writing, json.dumps([status, symbolic.pool.pids]).encode())
        symbolic.pool.close()
        os._exit(0)
    os.waitpid(pid, 0)
    status, theirs = json.loads(os.read(reading, 1000))
    os.close(reading), os.close(writing)
    assert status == "correct"
    assert ours and ours == symbolic.pool.pids and not set(theirs) & set(ours)
    assert symbolic.pool.ask(*question, 30.0) == "correct"


# The pool


@pytest.fixture
def few():
    pool = Pool(size=2)
    yield pool
    pool.close()


def test_a_pool_grows_only_when_it_must_and_counts(few):
    assert few.pids == [] and sum(few.counts.values()) == 0
    for n in range(3):
        assert few.ask(f"{n}+{EQUAL[0]}", f"{EQUAL[1]}+{n}", 30.0) == "correct"
    assert few.ask(*OTHER, 30.0) == few.ask(*OTHER, 30.0) == "wrong"
    assert len(few.pids) == 1  # one question at a time
    assert few.counts == {"correct": 3, "wrong": 2, "unparseable": 0, "timeout": 0, "crash": 0}


def test_waiting_for_a_free_child_ends_at_the_deadline(few, tmp_path, monkeypatch):
    child(monkeypatch, tmp_path, READY + "for line in sys.stdin: time.sleep(100)")
    took: list[float] = []

    def ask(n: int) -> None:
        start = time.monotonic()
        assert few.ask("x", str(n), 1.0) == "timeout"
        took.append(time.monotonic() - start)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == 6 and max(took) < 2.0
    assert few.counts["timeout"] == 6
    assert len(few.pids) <= 2


def test_two_threads_use_two_children_at_a_hundred_a_second(few):
    """Measured on two cores: about 300 a second."""
    assert few.warm()
    assert len(few.pids) == 2

    def ask(first: int) -> None:
        for n in range(first, 200, 2):
            assert few.ask(rf"{n}+{EQUAL[0]}", rf"{EQUAL[1]}+{n}", 30.0) == "correct"

    start = time.monotonic()
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 200 / (time.monotonic() - start) > 50  # half, for a machine that does other things
    assert few.counts["correct"] == 200


@pytest.mark.parametrize(
    "text",
    [
        r"\frac{}{}",
        "x^{}",
        "_",
        "||",
        "=",
        "x==y",
        r"\frac\frac",
        r"\sqrt",
        "(,)",
        r"\in\in",
        "[[]]",
    ],
)
def test_nonsense_that_passes_the_grammar_is_judged_without_an_exception(text):
    prediction = canonical(text)
    if prediction is not None:
        status = judge(read(r"\sin x"), prediction, 30.0)
        assert status in STATUSES
        assert status != "correct"
