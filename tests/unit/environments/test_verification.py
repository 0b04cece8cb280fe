import json
import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.base import STATUSES
from environments.verification import expressions, symbolic, units
from environments.verification.answers import Answer, canonical, equal, without_percent
from environments.verification.extract import boxed, final_answer, unboxed
from environments.verification.symbolic import Judge, judge

ROOT = Path(__file__).resolve().parents[3]
BOMB = "(((9^{999})^{999})^{999})^{999}"  # about 10^12 digits


def read(text: str) -> Answer:
    answer = canonical(text)
    assert answer is not None, text
    return answer


# Extraction


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{18}", "18"),
        (r"So \boxed{ 18 }.", "18"),
        (r"\boxed {18}", "18"),
        (r"First \boxed{5}, again \boxed{5}", "5"),
        (r"\boxed{0.5}, that is \boxed{\frac{1}{2}}", r"\frac{1}{2}"),  # the same number
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\boxed{5}}", r"\boxed{5}"),
        (r"put the answer in \boxed{}. \boxed{7}", "7"),
        (r"} stray { \boxed{7} }", "7"),
        ("16 - 3 = 13\n#### 13", "13"),
        ("#### 1,300\n", "1,300"),
        (r"#### 5, but \boxed{6}", "6"),  # a box comes first
        ("It costs $3. The answer is $18$.", "$18$."),
        ("Answer: 18", "18"),
        ("**Final answer:** 18\n", "18"),
        ("The answer is 18. The answer is 18.0.", "18.0."),
    ],
)
def test_the_final_answer_is_found(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "18",
        "So she has 18 apples.",  # the last number is a guess
        r"\boxed{}",
        r"\boxed{5} or \boxed{6}",
        r"\boxed{6} or \boxed{5}",
        r"\boxed{5} and \boxed{five}",
        r"\boxed{18",
        r"\boxed{5} and then \boxed{",
        r"\boxed{\frac{1}{2}",
        r"\boxed{18\}",
        "#### 5\n#### 6",
        "so #### 5",
        "The answer is 5. No, the answer is 6.",
        "The answer is 5. But let us check that again.",
        "What is the answer? 18",
        "#" * 1000,
        "\\boxed" * 1000,
    ],
)
def test_what_is_ambiguous_or_not_there_is_no_answer(text):
    assert final_answer(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "x" * 100_000,
        r"\boxed{" * 15_000,
        r"\boxed{1}" * 11_000,
        "".join(rf"\boxed{{{n}}}" for n in range(9_000)),
        "{" * 100_000,
        "}" * 100_000,
        "\\" * 100_000,
        "answer " * 15_000,
        "answer is " * 10_000,
        "answer" + " " * 100_000,
        "####" * 25_000,
        " " * 100_000,
        "\n" * 100_000,
        ". " * 50_000,
        r"\boxed{" + "{" * 50_000 + "}" * 50_000 + "}",
        "9" * 2_000_000,
    ],
)
def test_a_long_text_is_read_in_time_that_grows_with_its_length(text):
    start = time.process_time()
    final_answer(text)
    assert time.process_time() - start < 2


def test_boxes_are_opened():
    assert boxed(r"\boxed{1} \boxed{} \boxed{\frac{1}{2}}") == ["1", r"\frac{1}{2}"]
    assert boxed(r"\boxed{") is None
    assert (
        unboxed(r"so \boxed{\frac{1}{2}} and {a} \boxed{\{b\}}") == r"so \frac{1}{2} and {a} \{b\}"
    )


# Reading


@pytest.mark.parametrize(
    ("text", "kind", "written"),
    [
        ("18", "integer", "18"),
        ("-3", "integer", "-3"),
        ("\u22123", "integer", "-3"),
        ("+3", "integer", "3"),
        ("0", "integer", "0"),
        ("1,234,567", "integer", "1234567"),
        ("1{,}234", "integer", "1234"),
        (r"1\,234", "integer", "1234"),
        ("18.", "integer", "18"),
        ("18.0", "decimal", "18"),
        ("2.50", "decimal", "2.5"),
        (".5", "decimal", "0.5"),
        ("1,234.5", "decimal", "1234.5"),
        ("1/2", "fraction", "0.5"),
        (r"\frac{1}{2}", "fraction", "0.5"),
        (r"\dfrac12", "fraction", "0.5"),
        (r"-\tfrac{4}{6}", "fraction", "-2/3"),
        (r"\frac{-4}{6}", "fraction", "-2/3"),
        (r"1\frac{1}{2}", "fraction", "1.5"),
        ("1 1/2", "fraction", "1.5"),
        ("6/3", "fraction", "2"),
        ("25%", "percent", "25%"),
        (r"12.50\%", "percent", "12.5%"),
        ("25 percent", "percent", "25%"),
        ("$18$", "integer", "18"),
        (r"\(18\)", "integer", "18"),
        ("**18**", "integer", "18"),
        (r"\text{18}", "integer", "18"),
        ("$18", "integer", "18"),
        (r"\$18.50", "decimal", "18.5"),
        ("-$5", "integer", "-5"),
        ("€5", "integer", "5"),
        ("x = 5", "integer", "5"),
        ("18 apples", "integer", "18"),
        (r"5\text{ cm}", "integer", "5"),
        (r"24 \text{ cm}^2", "integer", "24"),
        ("5cm", "integer", "5"),
        ("2xy", "expression", "2xy"),
        ("x^2 + 2 x+1", "expression", "x^2+2x+1"),
        (r"\frac{\sqrt{2}}{2}", "expression", r"\frac{\sqrt{2}}{2}"),
        ("sqrt(2)/2", "expression", r"\sqrt{2}/2"),
        (r"2\pi r", "expression", r"2\pi r"),
        (r"\left(1, 2\right)", "expression", "(1,2)"),
        (r"\{1, 2\}", "expression", r"\{1,2\}"),
        ("[0,1)", "expression", "[0,1)"),
        ("2+2", "expression", "2+2"),
        ("A", "expression", "A"),
        ("1,23", "expression", "1,23"),
        ("007", "expression", "007"),
    ],
)
def test_answers_are_read(text, kind, written):
    answer = canonical(text)
    assert answer is not None
    assert (answer.kind, answer.text) == (kind, written)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "$$",
        "٣",
        "1٣",
        "½",
        "²",
        "\uff13",  # a full-width three
        "1/0",
        r"\frac{1}{0}",
        r"1\frac{3}{2}",  # a mixed number's part must be below 1
        "5 hundred",
        "3 dozen",
        "5 million dollars",
        "--5",
        "-$-5",
        "9" * 61,
        "1." + "0" * 60,
        "0" * 5000,
        "1" * 201,
        "10^{10^{10}}",
        "2^3^4",
        "2^{99999}",
        "2^{(x^y)}",
        "2^",
        "5!",
        r"\gcd(34,51)",
        r"\int_0^6 1dx",
        r"\sum_{i=1}^3 i",
        r"\input{x}",
        r"\def\x{5}",
        r"\boxed{5}",
        "(" * 9 + "1+x" + ")" * 9,
        "(1",
        ")1(",
        r"\{1,2",
        "{1",
        "__import__('os').system('true')",
        "().__class__",
        "exec(1)",
        "lambda: 1",
        "x;y",
        "x=`id`",
        "'5'",
        "5\n6",
        "5\x00",
        "\x1b[31m5",
        "five",
        "the answer",
    ],
)
def test_anything_else_is_refused(text):
    assert canonical(text) is None


@settings(deadline=None)
@given(st.fractions(max_denominator=10**6))
def test_equal_numbers_have_one_text(value):
    ways = [f"{value.numerator}/{value.denominator}".replace("-", "-", 1)]
    ways.append(rf"\frac{{{2 * value.numerator}}}{{{2 * value.denominator}}}")
    answers = {read(way).text for way in ways}
    assert len(answers) == 1
    assert Fraction(answers.pop()) == value


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_reading(text):
    final_answer(text)
    answer = canonical(text)
    if answer is not None:
        assert canonical(answer.text) is not None
        assert read(answer.text).text == answer.text


# Units


@pytest.mark.parametrize(
    ("unit", "statement", "fits"),
    [
        ("", "How many?", True),
        ("apples", "Ana has 3 apples. How many are left?", True),
        ("apple", "Ana has 3 apples. How many are left?", True),
        ("pears", "Ana has 3 apples. How many are left?", False),
        ("berries", "Each berry costs 2. How many can she buy?", True),
        ("$", "A pen costs $3. How much do 4 cost?", True),
        ("dollars", "A pen costs $3. How much do 4 cost?", True),
        ("cents", "A pen costs $3. How much do 4 cost?", False),
        ("cents", "A pen costs $3 and 5 cents. How much do 4 cost?", False),
        ("$", "A pen costs 90 cents. How many dollars do 4 cost?", True),
        ("cents", "A pen costs 90 cents. How many dollars do 4 cost?", False),
        ("minutes", "A page takes 12 minutes. How many hours do 30 take?", False),
        ("hrs", "A page takes 12 minutes. How many hours do 30 take?", True),
        ("cm", "A side is 3 centimeters. What is the perimeter?", True),
        ("square feet", "A room is 3 feet by 4 feet. What is its area?", True),
        ("miles per hour", "He drives 90 miles in 2 hours. How fast, in miles per hour?", True),
    ],
)
def test_only_a_unit_of_the_question_fits(unit, statement, fits):
    assert units.fits(unit, statement) is fits


def test_a_percent_sign_may_be_left_out_where_a_percentage_is_asked_for():
    assert units.asks_for_percent("12 of 48 puppies have spots. What percentage is that?")
    assert units.asks_for_percent("How likely is it (in %)?")
    assert not units.asks_for_percent("25% of the 48 puppies have spots. How many is that?")
    assert without_percent(read("25%")).text == "25"
    assert without_percent(read("1/4")) == read("1/4")


# Exact comparison


@pytest.mark.parametrize(
    ("gold", "prediction", "same"),
    [
        ("18", "18.0", True),
        ("0.5", r"\frac{2}{4}", True),
        ("1,000", "$1000", True),
        ("18", "19", False),
        ("1/3", "0.333", False),
        ("25%", r"25\%", True),
        ("25%", "25", False),
        ("25", "25%", False),
        ("0.25", "25%", False),
        ("4", "2+2", False),  # not evaluated
        ("4", "2^2", False),
        ("2", r"\sqrt{4}", False),
        ("x+1", "x+1", True),
        ("x+1", "1+x", None),
        (r"\sqrt{4}", "2", None),
        (r"\frac{\sqrt{2}}{2}", r"\sin(\pi/4)", False),
        (r"\sin x", r"-\sin(-x)", None),
        ("(1,2)", r"\{1,2\}", False),
        ("(1,2)", "[1,2]", False),
        ("(1,2)", "(1,2,3)", False),
        ("(1,2)", "1,2", False),
        (r"\{1\}", "1", False),
        ("(x+1)(x-1)", "x^2-1", None),
        ("(x)", "x", None),
    ],
)
def test_what_exact_comparison_decides(gold, prediction, same):
    assert equal(read(gold), read(prediction)) is same


def test_shapes():
    assert expressions.shape("(1,2)") == ("()", 1)
    assert expressions.shape("(x+1)(x-1)") == ("", 0)
    assert expressions.shape("1,2,3") == ("", 2)
    assert expressions.shape("[0,1)") == ("[)", 1)
    assert expressions.shape(r"\{(1,2),(3,4)\}") == (r"\{\}", 1)


# The symbolic judge


@pytest.mark.parametrize(
    ("gold", "prediction", "status"),
    [
        ("18", "18", "correct"),
        ("x+1", "1+x", "correct"),
        ("x+1", "x-1", "wrong"),
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
    symbolic._judge.close()
    assert judge(read("18"), read("18.0")) == "correct"
    assert judge(read("18"), read("2+16")) == "wrong"


def test_importing_starts_and_loads_nothing():
    program = (
        "import sys, environments.math_text, environments.verification.symbolic as s;"
        "print(s._judge.pid, sorted({'sympy', 'math_verify', 'torch', 'ray', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "None []"


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


def test_the_child_is_killed_at_the_deadline_and_the_next_verdict_works(own):
    assert own.ask("x+1", "1+x", 30.0) == "correct"
    child = own.pid
    start = time.monotonic()
    assert own.ask("x+1", BOMB, 0.5) == "timeout"
    assert time.monotonic() - start < 5
    assert soon_dead(child)
    assert own.ask("x+1", "1+x", 30.0) == "correct"
    assert own.pid != child


def test_a_child_that_dies_is_a_crash_and_the_next_verdict_works(own):
    assert own.ask("x+1", "1+x", 30.0) == "correct"
    os.kill(own.pid, signal.SIGKILL)
    assert own.ask("x+1", "1+x", 30.0) == "crash"
    assert own.ask("x+1", "1+x", 30.0) == "correct"


def test_memory_is_limited():
    """Expanding this takes over 400 MiB; sympy turns the lack of memory into a plain `wrong`."""
    judge = Judge(memory=128 << 20)
    assert judge.ask("x+1", "(x+y+z+a+b+c+d)^{99}", 60.0) in ("wrong", "crash")
    if judge.pid is not None:
        status = Path(f"/proc/{judge.pid}/status").read_text()
        peak = int(status.split("VmPeak:")[1].split()[0])  # kibibytes
        assert 100 << 10 < peak <= 128 << 10
    assert judge.ask("x+1", "1+x", 60.0) == "correct"
    judge.close()


def test_a_child_that_cannot_start_is_a_crash():
    judge = Judge(memory=1 << 20)
    assert judge.ask("x+1", "1+x", 5.0) == "crash"
    assert judge.pid is None


def test_the_child_is_replaced_after_its_number_of_verdicts():
    judge = Judge(verdicts=2)
    pids = []
    for _ in range(5):
        assert judge.ask("x+1", "1+x", 30.0) == "correct"
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
    assert own.ask("x+1", "1+x", 30.0) == "correct"
    seen = Path(f"/proc/{own.pid}/environ").read_bytes()
    names = {entry.split(b"=")[0] for entry in seen.split(b"\0") if entry}
    assert b"sesame" not in seen
    assert names <= {b"LC_ALL", b"PYTHONHASHSEED", b"LD_LIBRARY_PATH"}
    open_files = [
        os.readlink(f"/proc/{own.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{own.pid}/fd")
    ]
    assert all(name.startswith(("pipe:", "/dev/null")) for name in open_files), open_files


def test_any_thread_may_ask(own):
    questions = [("x+1", "1+x", "correct"), ("x+1", "x-1", "wrong")] * 6
    found: dict[int, str] = {}

    def ask(n: int) -> None:
        found[n] = own.ask(*questions[n][:2], 60.0)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n] for n in range(len(questions))] == [status for *_, status in questions]
    assert own.ask("x+1", "1+x", 60.0) == "correct"  # outlives the thread that started it


@pytest.mark.parametrize("busy", [False, True])
def test_the_child_dies_with_its_parent(busy):
    program = f"""
import os, signal, sys, threading
sys.path.insert(0, {str(ROOT)!r})
from environments.verification.symbolic import Judge
judge = Judge()
judge.ask("x+1", "1+x", 60.0)
print(judge.pid, flush=True)
if {busy}:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
    judge.ask("x", "{BOMB}", 2.0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert soon_dead(int(done.stdout))


def test_a_forked_process_starts_its_own_child(own):
    assert judge(read("x+1"), read("1+x"), 30.0) == "correct"
    ours = symbolic._judge.pid
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = judge(read("x+1"), read("1+x"), 30.0)
        os.write(writing, json.dumps([status, symbolic._judge.pid]).encode())
        symbolic._judge.close()
        os._exit(0)
    os.waitpid(pid, 0)
    status, theirs = json.loads(os.read(reading, 1000))
    os.close(reading), os.close(writing)
    assert status == "correct"
    assert theirs != ours == symbolic._judge.pid
    assert judge(read("x+1"), read("1+x"), 30.0) == "correct"


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
        status = judge(read("x+1"), prediction, 30.0)
        assert status in STATUSES
        assert status != "correct"
