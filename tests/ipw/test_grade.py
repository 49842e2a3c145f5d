#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""ipw-trace grade, and the forms of data sets. Needs no root."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import TRACE, check, done, tempdir  # noqa: E402
from server import Reply, serving, stream  # noqa: E402

TEN = ["o%d" % i for i in range(10)]

# The forms as their publishers have them, a right answer, a wrong one, and what of it is to be in the result.
FORMS = {
    "mmlu-pro": ({"question_id": 70, "question": "Q?", "options": TEN, "answer": "I", "answer_index": 8,
                  "cot_content": "", "category": "business", "src": "ori"},
                 "The answer is (I).", "The answer is (A).", ("70", "business", None)),
    "supergpqa": ({"uuid": "ab12", "question": "Q?", "options": TEN, "answer": "o9", "answer_letter": "J",
                   "discipline": "Law", "field": "Law", "subfield": "x", "difficulty": "hard", "is_calculation": False},
                  "**J**", "Answer: B", ("ab12", "Law", "hard")),
    "natural-reasoning": ({"question": "Why?", "reference_answer": "Because.",
                           "responses": [{"response_model": "x", "response": "y"}]},
                          "Because.", "No.", ("line-1", None, None)),
    "wildchat": ({"conversation_hash": "c0ffee", "model": "gpt", "language": "English", "turn": 1,
                  "conversation": [{"role": "user", "content": "Hi", "language": "English"},
                                   {"role": "assistant", "content": "Hello", "language": "English"}]},
                 "Hello!", "Go away.", ("c0ffee", None, None)),
    "jsonl": ({"id": 5, "prompt": "2+2?", "answer": 4}, "Answer: 4", "Answer: 5", ("5", None, None)),
}

# Rows of a plain file that are none, and why.
BROKEN = [
    ("{", "no JSON object"), ("[1]", "no JSON object"), ('{"id":1}', "no question"), ('{"prompt":7}', "no question"),
    ('{"prompt":"x"} trailing', "no JSON object"),
    ('{"question":"x","options":["a"],"answer":"A"}', "options is no list"),
    ('{"question":"x","options":["a",2],"answer":"A"}', "options is no list"),
    ('{"question":"x","options":["a","b"],"answer":"C"}', "no letter of an option"),
    ('{"question":"x","options":["a","b"]}', "no letter of an option"),
    ('{"prompt":"x","answer":"y","grade":"vibes"}', "grade is none"),
    ('{"prompt":"x","answer":"y","grade":"numeric"}', "no number"),
    ('{"prompt":"x","answer":1,"tolerance":-1}', "no number"),
    ('{"prompt":"x","grade":"exact","answer":[1]}', "no text"), ('{"prompt":"x","grade":"reference"}', "no reference"),
    ('{"messages":[{"role":"assistant","content":"x"}]}', "no message of a user"),
    ('{"messages":[{"role":"user"}]}', "no message of a user"),
]


def run(*args, **kw):
    return subprocess.run([TRACE, *map(str, args)], capture_output=True, text=True, timeout=60, **kw)


def put(path, *lines):
    with open(path, "w") as f:
        for line in lines:
            f.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
    return path


def results(text):
    return [o for o in map(json.loads, text.splitlines()) if o["type"] == "result"]


def benched(d, data, say, name="r", **kw):
    """Results and answers of a server that says what it is told: (results, answers, bodies asked)."""
    out, texts = os.path.join(d, name), os.path.join(d, name + "-texts")
    for p in (out, texts):
        if os.path.exists(p):
            os.unlink(p)
    with serving(lambda b: Reply(stream([say(b)]))) as s:
        p = run("bench", "-d", data, "--url", s.url, "-o", out, "--answers", texts, "--model", "m", "--no-trace", **kw)
    return out, texts, [q["body"] for q in s.seen], p


def forms(d):
    for form, (row, right, wrong, said) in FORMS.items():
        data = "%s:%s" % (form, put(os.path.join(d, form), row))
        judged = form in ("natural-reasoning", "wildchat")
        for text, want in ((right, 1), (wrong, 0), ("", 0)):
            out, texts, asked, p = benched(d, data, lambda b: text)
            r = results(open(out).read())[0]
            check(r["correct"] == (None if judged else want), "%s: '%s' is %s" % (form, text, r["correct"]), p.stderr)
            check(("unparsable" in r["flags"]) == (not text and not judged),
                  "%s: '%s': unparsable or not" % (form, text))
        check((r["query_id"], r["category"], r["difficulty"]) == said, "%s: what the row says" % form, r)
        q = asked[0]["messages"][0]["content"]
        want = "Hi" if form == "wildchat" else row.get("question", row.get("prompt"))
        check(len(asked[0]["messages"]) == 1 and q.startswith(want) and "Hello" not in q and "Because" not in q,
              "%s: what is asked" % form, q)
        check("options" not in row or all("%s. %s" % (chr(65 + i), o) in q for i, o in enumerate(row["options"])),
              "%s: all options are there" % form, q)
        other = "supergpqa" if form != "supergpqa" else "mmlu-pro"
        p = run("bench", "-d", "%s:%s" % (other, os.path.join(d, form)), "--url", "http://127.0.0.1:1", "-o",
                os.path.join(d, "x"), "--model", "m")
        check(p.returncode == 1 and "no row in it is of that form" in p.stderr and ":1: left out" in p.stderr,
              "%s read as %s" % (form, other), p.stderr)


def broken(d):
    fine = {"id": "same", "prompt": "p", "answer": 1}
    path = put(os.path.join(d, "broken"), *[x for b, _ in BROKEN for x in (b, fine)])
    out, _, asked, p = benched(d, "jsonl:" + path, lambda b: "1")
    got = results(open(out).read())
    n = len(BROKEN)
    check(len(got) == n and "%d rows of '%s' left out, %d are good" % (n, path, n) in p.stderr,
          "what is no row is left out and counted", p.stderr)
    check([r["query_id"] for r in sorted(got, key=lambda r: (len(r["query_id"]), r["query_id"]))] ==
          ["same"] + ["same#%d" % i for i in range(2, len(BROKEN) + 1)], "ids are made different")
    check(all("%s:%d: left out" % (path, 2 * i + 1) in p.stderr for i in range(5)),
          "the first are named by line", p.stderr)
    for text, why in BROKEN:
        p = run("bench", "-d", "jsonl:" + put(os.path.join(d, "one"), "", text), "--url", "http://127.0.0.1:1", "-o",
                os.path.join(d, "x"), "--model", "m")
        check(p.returncode == 1 and "one:2: left out: " in p.stderr and why in p.stderr, "no row: %s" % text, p.stderr)
    for spec, said in (("jsonl:/no/such", "No such file"), ("jsonl:" + d, "Is a directory"), ("nope:x", "of the forms"),
                       ("jsonl", "of the forms"), ("jsonl:", "of the forms"), ("jsonl:/dev/null", "no row")):
        p = run("bench", "-d", spec, "--url", "http://127.0.0.1:1", "-o", os.path.join(d, "x"), "--model", "m")
        check(p.returncode == 1 and said in p.stderr, "--dataset %s" % spec[:20], p.stderr)


def rules(d):
    """Exact and numeric, what is near it and what is not: (row, answer, correct)."""
    cases = [
        ({"answer": "Paris"}, "Paris", 1), ({"answer": "Paris"}, "**paris**.", 1),
        ({"answer": "Paris"}, "Answer: Paris", 1), ({"answer": "Paris"}, "It is Paris", 0),
        ({"answer": "Paris"}, "", 0), ({"answer": "3.5"}, "35", 0),
        ({"answer": "the Beatles"}, "Answer: Beatles", 1), ({"answer": ["iron", "Fe"]}, "Fe", 1),
        ({"answer": "a  b"}, "A\nb", 1), ({"answer": "ab"}, "a b", 0), ({"answer": "it's"}, "it's!", 1),
        ({"answer": 10, "tolerance": 0.1}, "Answer: 10.9", 1), ({"answer": 10, "tolerance": 0.1}, "Answer: 11.1", 0),
        ({"answer": 10, "tolerance": 0.1}, "Answer: 9.0", 1), ({"answer": 0}, "Answer: 0", 1),
        ({"answer": 0, "tolerance": 0.5}, "Answer: 0.1", 0), ({"answer": -2}, "Answer: -2", 1),
        ({"answer": -2}, "2", 0),
        ({"answer": 1e6}, "1,000,000", 1), ({"answer": "1e6", "grade": "numeric"}, "1000000", 1),
        ({"answer": 5}, "five", 0), ({"answer": 0.75}, "3/4", 1),
    ]
    data = put(os.path.join(d, "rules"), *[dict(r, prompt="case %d." % i, id=str(i))
                                           for i, (r, _, _) in enumerate(cases)])

    def say(body):
        return cases[int(body["messages"][0]["content"].split()[1].split(".")[0])][1]
    out, texts, _, p = benched(d, "jsonl:" + data, say)
    got = {r["query_id"]: r["correct"] for r in results(open(out).read())}
    wrong = [(c, got[str(i)]) for i, c in enumerate(cases) if got[str(i)] != c[2]]
    check(not wrong and len(got) == len(cases), "%d answers by rule" % len(cases), wrong)
    p = run("grade", "-i", out, "--answers", texts, "-d", "jsonl:" + data)
    check(p.returncode == 0 and results(p.stdout) == results(open(out).read()), "grade comes to the same", p.stderr)


def judge(d):
    """WildChat and NaturalReasoning: a judge is asked once, its verdicts are kept, and may come from a file."""
    n = 40
    pair = "wildchat:" + put(os.path.join(d, "pair"), *[
        {"conversation_hash": "c%d" % i, "conversation": [{"role": "user", "content": "Say %d" % i},
                                                          {"role": "assistant", "content": "reference %d" % i}]}
        for i in range(n)])
    out, texts, _, _ = benched(d, pair, lambda b: "<think>hm</think>ours " + b["messages"][0]["content"][4:])
    firsts = []

    def verdict(body):
        """Ours wins of 0 to 9, ties of 10 to 19, loses of 20 to 29; then nothing that can be read."""
        q = body["messages"][0]["content"]
        a = q.split("<answer-A>\n")[1].split("\n")[0]
        i, ours_first = int(a.split()[1]), a.startswith("ours")
        firsts.append(ours_first)
        win = "[[A>B]]" if ours_first else "[[B>>A]]"
        lose = "[[B>A]]" if ours_first else "[[A>>B]]"
        return Reply(stream(["Not [[A=B]]? ", win if i < 10 else "[[A=B]]" if i < 20 else lose if i < 30 else "[[C]]",
                             "" if i < 30 else " or so"])) if i != 39 else Reply([b"x"], 500)
    kept, graded = os.path.join(d, "verdicts"), os.path.join(d, "graded")
    p = run("grade", "-i", out, "--answers", texts, "-d", pair)
    check(p.returncode == 1 and "40 have no verdict: 40 wait for a judge" in p.stderr and
          all(r["correct"] is None for r in results(p.stdout)), "without a judge nothing is known", p.stderr)
    with serving(verdict) as s:
        args = ["grade", "-i", out, "--answers", texts, "-d", pair, "--judge-url", s.url, "--verdicts", kept,
                "-o", graded]
        p = run(*args)
        asked = len(s.seen)
        again = run(*args)
    got = {r["query_id"]: r for r in results(open(graded).read())}
    # "Not [[A=B]]?" stands before: of 30 to 38 that is the last that can be read.
    want = {i: 1 if i < 20 or 30 <= i < 39 else 0 if i < 30 else None for i in range(n)}
    check({int(k[1:]): r["correct"] for k, r in got.items()} == want, "a win or a tie counts", p.stderr)
    check(p.returncode == 1 and "the judge failed 1 times, last: HTTP 500" in p.stderr,
          "who fails is not judged", p.stderr)
    check(asked == n and len(s.seen) == n + 1 and again.returncode == 1,
          "who was judged is not asked again", len(s.seen))
    check(8 < sum(firsts) < 32, "ours is first in about half", sum(firsts))
    check(all("<think>" not in q["body"]["messages"][0]["content"] for q in s.seen), "a judge sees no thoughts")
    before, after = open(out).read().splitlines(), open(graded).read().splitlines()
    same = [{k: v for k, v in json.loads(x).items() if k not in ("correct", "flags")} for x in before]
    check(same == [{k: v for k, v in json.loads(x).items() if k not in ("correct", "flags")} for x in after],
          "all else is as it was, line by line")
    ref = "natural-reasoning:" + put(os.path.join(d, "ref"), *[
        {"question": "Why %d?" % i, "reference_answer": "r%d" % i} for i in range(3)])
    out, texts, _, _ = benched(d, ref, lambda b: "because")
    says = {"0": "[[RIGHT]]", "1": "[[WRONG]]", "2": "I cannot tell"}
    with serving(lambda b: Reply(stream([says[b["messages"][0]["content"].split("Why ")[1][0]]]))) as s:
        p = run("grade", "-i", out, "--answers", texts, "-d", ref, "--judge-url", s.url)
    got = {r["query_id"]: (r["correct"], r["flags"]) for r in results(p.stdout)}
    check(got == {"line-1": (1, []), "line-2": (0, []), "line-3": (0, ["unparsable_verdict"])} and p.returncode == 0,
          "a reference: right, wrong, and a verdict that cannot be read", (got, p.stderr))
    imported(d, ref, out)


def imported(d, ref, out):
    file = put(os.path.join(d, "imported"), {"query_id": "line-1", "correct": 0}, {"query_id": "line-2", "correct": 1,
               "model": "m"}, {"query_id": "line-2", "correct": 0, "model": "other"}, "garbage",
               {"query_id": "line-3", "correct": 0}, {"query_id": "line-3", "repetition": 0, "correct": 1},
               {"query_id": "line-1", "correct": "yes"})
    p = run("grade", "-i", out, "-d", ref, "--verdicts", file)
    got = {r["query_id"]: r["correct"] for r in results(p.stdout)}
    check(p.returncode == 0 and got == {"line-1": 0, "line-2": 1, "line-3": 1},
          "verdicts of a file: the nearest counts", (got, p.stderr))
    check("imported:4: left out" in p.stderr and "whose correct is not 0, 1 or null" in p.stderr,
          "what is none is said", p.stderr)


def failed(d):
    """What failed is wrong whatever is said of it; what is damaged is said; nothing is lost by a full disk."""
    data = "jsonl:" + put(os.path.join(d, "f"), {"id": "a", "prompt": "x", "answer": "y"})
    row = {"type": "result", "query_id": "a", "repetition": 0, "end": "complete", "correct": None,
           "flags": ["estimated"], "energy_j": 0.123456789012, "extra": {"deep": [1, None, "\u00e9"]}, "run": "r"}
    rows = put(os.path.join(d, "rows"), {"type": "run"}, row, dict(row, end="cut"), "torn",
               dict(row, query_id="stranger"), dict(row, run="other"))
    said = {"type": "answer", "query_id": "a", "repetition": 0, "run": "r"}
    texts = put(os.path.join(d, "texts"), dict(said, text="no"), dict(said, text="y"))
    p = run("grade", "-i", rows, "--answers", texts, "-d", data)
    got = results(p.stdout)
    check([(r["correct"], r["flags"]) for r in got] == [(1, ["estimated"]), (0, ["estimated", "failed"]),
          (None, ["estimated"]), (None, ["estimated"])], "the last answer; a failure; a stranger; another run's", got)
    check(p.returncode == 1 and "rows:4: left out" in p.stderr and "1 have no text" in p.stderr and
          "1 are not in the data set" in p.stderr, "and that is said", p.stderr)
    check(got[0]["energy_j"] == row["energy_j"] and got[0]["extra"] == row["extra"], "to the last digit")
    mine = open(rows).read()
    p = run("grade", "-i", rows, "--answers", texts, "-d", data, "-o", "/no/such/x")
    check(p.returncode == 1 and "cannot write '/no/such/x'" in p.stderr, "nowhere to write", p.stderr)
    p = run("grade", "-i", rows, "--answers", texts, "-d", data, "-o", rows)
    check(len(results(open(rows).read())) == 4 and open(rows).read() != mine and not os.path.exists(rows + ".new"),
          "in place", p.stderr)
    with open("/dev/full", "w") as full:
        p = subprocess.run([TRACE, "grade", "-i", rows, "--answers", texts, "-d", data], stdout=full,
                           stderr=subprocess.PIPE, text=True)
    check(p.returncode == 1 and "cannot write" in p.stderr, "a full disk", p.stderr)
    for args, code, said in ((["-i", rows, "-d", data], 129, "--answers is missing"), (["-d", data], 129, "--input"),
                             (["-i", rows, "--answers", texts], 129, "--dataset"), (["x"], 129, "unexpected"),
                             (["-i", "/no", "--answers", texts, "-d", data], 1, "cannot read '/no'"),
                             (["-i", rows, "--answers", "/no", "-d", data], 1, "cannot read '/no'"),
                             (["-i", rows, "--verdicts", "/no", "-d", data], 1, "cannot read '/no'"),
                             (["-c", "0"], 129, "bad value")):
        p = run("grade", *args)
        check(p.returncode == code and said in p.stderr, "grade %s" % " ".join(args)[-40:], p.stderr)


with tempdir() as tmp:
    for f in (forms, broken, rules, judge, failed):
        f(tmp)
done()
