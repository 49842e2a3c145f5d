#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The whole tracer with meters whose joules are known: a powercap tree that counts up by the clock, and a
libnvidia-ml.so.1 that does. The binary and its interfaces are the real ones; the meters are what no machine here
has."""
import datetime
import json
import os
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from harness import (BUILD, PYTHON, TRACE, ask, balanced, check, done, free_port, report, tempdir, tracer,  # noqa: E402
                     wait_for)
import socket  # noqa: E402

SCRIPTED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib/scripted.py")
STUB = os.path.join(BUILD, "tests/lib/nvml_stub.so")
USAGE = {"prompt_tokens": 7, "completion_tokens": 20}
SCRIPT = [{"path": "/v1/chat/completions", "deltas": ["a"] * 20, "delay": 0.05, "usage": USAGE}]


class Powercap:
    """Zones of a /sys that rise with the clock. Like the kernel's they keep their inode, and the number its width."""

    def __init__(self, d, zones, step=0.002):
        self.start, self.step, self.files = time.monotonic(), step, []
        for path, name, watts, wrap in zones:
            zone = os.path.join(d, "class/powercap", path)
            os.makedirs(zone)
            for file, value in (("name", name), ("max_energy_range_uj", wrap)):
                with open(os.path.join(zone, file), "w") as f:
                    f.write("%s\n" % value)
            f = open(os.path.join(zone, "energy_uj"), "wb", buffering=0)
            self.files.append((f, watts, wrap))
        self.stopped = threading.Event()
        self.write()
        self.thread = threading.Thread(target=self.run)

    def write(self):
        now = time.monotonic() - self.start
        for f, watts, wrap in self.files:  # a hundred joules before they wrap
            os.pwrite(f.fileno(), b"%020d\n" % ((wrap - 100000000 + int(now * watts * 1e6)) % wrap), 0)

    def run(self):
        while not self.stopped.wait(self.step):
            self.write()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *a):
        self.stopped.set()
        self.thread.join()


def busy_server(d):
    """The scripted server, with a thread that keeps a CPU busy, so that there is something to attribute."""
    script = os.path.join(d, "script.json")
    with open(script, "w") as f:
        json.dump(SCRIPT, f)
    port = free_port()
    p = subprocess.Popen([PYTHON, SCRIPTED, str(port), script])

    def listening():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    wait_for(listening, 10, "the scripted server does not listen")
    return p, port


LATE = 0.1  # the meters here are threads of this test, which a busy machine keeps waiting


def near(a, b, part):
    return abs(a - b) <= part * abs(b)


def powercap():
    with tempdir() as d:
        zones = [("intel-rapl:0", "package-0", 50, 262143328850), ("intel-rapl:0:0", "core", 20, 262143328850),
                 ("intel-rapl:0:1", "dram", 5, 65712999613)]
        server, port = busy_server(d)
        with Powercap(d + "/sys", zones):
            path = d + "/p.data"
            with tracer("-p", server.pid, "--json", "--sysfs", d + "/sys", "--meter", "rapl_powercap", "-o", path,
                        "--idle", "package=10,dram=1") as t:
                check("package-0 from rapl_powercap" in t.stderr() and "estimated" not in t.stderr(),
                      "powercap is found")
                ask(port, 4)
                time.sleep(1)
                t.stop()
        server.kill()
        s = t.summary
        by = s["energy_by_domain"]
        check(near(s["measured_j"], 55 * s["duration_s"], LATE) and near(s["measured_j"], sum(by.values()), 1e-9) and
              len(by) == 2 and all(v > 0 for v in by.values()), "package and DRAM are summed, cores are not", s)
        check(near(s["energy_by_domain"]["package-0"], 50 * s["duration_s"], LATE), "50 W of package", s)
        check(near(s["idle_j"], 11 * s["duration_s"], LATE) and s["idle_source"] == "user",
              "the idle floor that was given", s)
        check(balanced(s), "the books add up", s)
        check(all("estimated" not in r["flags"] and r["source"] == "rapl_powercap" for r in t.rows),
              "no estimate", t.rows)
        check(len(t.rows) == 4 and all(set(r["energy_by_domain"]) == {"package-0", "dram-0"} for r in t.rows),
              "joules by domain", t.rows)
        rows, again = report(path)
        check(again == s and near(sum(r["energy_j"] for r in rows), s["queries_j"], 1e-9), "the report says the same")


def platform():
    """psys over two packages: the platform alone is the top. One counter wraps in the middle."""
    with tempdir() as d:
        zones = [("intel-rapl:0", "package-0", 30, 262143328850), ("intel-rapl:1", "psys", 100, 65532610987),
                 ("intel-rapl:2", "package-1", 40, 262143328850)]
        server, port = busy_server(d)
        with Powercap(d + "/sys", zones):
            with tracer("-p", server.pid, "--json", "--sysfs", d + "/sys", "--meter", "rapl_powercap") as t:
                ask(port)
                time.sleep(2)
                t.stop()
        server.kill()
        s = t.summary
        check(near(s["measured_j"], 100 * s["duration_s"], LATE),
              "psys over packages: counted once, through its wraps", s)
        check(balanced(s), "the books add up", s)
        check(s["idle_source"] == "auto" and near(next(x for x in s["sources"] if x["summed"])["idle_w"], 100, LATE),
              "the idle floor is found in the second without a query", s)
        check("idle_unknown" not in s["flags"], "and then it is known")
        parts = {x["domain"]: x["measured_j"] for x in s["sources"] if not x["summed"]}
        check(near(parts["package-0"], 30 * s["duration_s"], LATE), "its parts are shown, not summed", parts)


def gpus():
    """Two GPUs by a stand-in for the driver's library: one the server computes on, one it does not, and one unknown."""
    with tempdir() as d:
        shutil.copy(STUB, d + "/libnvidia-ml.so.1")
        env = {"LD_LIBRARY_PATH": d, "IPW_NVML_STUB": d + "/gpus"}
        server, port = busy_server(d)
        other = subprocess.Popen(["sleep", "60"])
        for what, users, share in (
                ("alone on gpu0", ["gpu 0 pid %d sm 90" % server.pid], (1, 0)),
                ("sharing gpu0 3 to 1", ["gpu 0 pid %d sm 60" % server.pid, "gpu 0 pid %d sm 20" % other.pid],
                 (0.75, 0)),
                ("on none", ["gpu 0 pid %d sm 60" % other.pid], (0, 0)),
                ("on both", ["gpu %d pid %d sm 60" % (g, server.pid) for g in (0, 1)], (1, 1))):
            with open(d + "/gpus", "w") as f:
                f.write("\n".join(["gpus 2", "refresh_ms 20", "t0_ns %d" % time.monotonic_ns(),
                                   "gpu 0 name NVIDIA Test 90", "gpu 0 at 0 power 300000",
                                   "gpu 1 at 0 power 100000", *users]) + "\n")
            with tracer("-p", server.pid, "--json", "--meter", "nvml", "--idle", "gpu0=100,gpu1=40", env=env) as t:
                time.sleep(1.2)
                ask(port, 2)
                t.stop()
            s = t.summary
            check(near(s["measured_j"], 400 * s["duration_s"], LATE), "%s: both GPUs measured" % what, s)
            mine = (share[0] * 200 + share[1] * 60) * s["duration_s"]
            ours = s["queries_j"] + s["server_other_j"]
            check(near(ours, mine, LATE) if mine else abs(ours) < 0.02 * s["measured_j"],
                  "%s: its part of what is above idle" % what, (ours, mine, s))
            check(balanced(s), "%s: the books add up" % what)
            check("NVIDIA Test 90" in s["hardware"] and s["method"] != "gpu_unsplit", "%s: named" % what, s["hardware"])
        with open(d + "/gpus", "w") as f:
            f.write("gpus 1\nrefresh_ms 20\nt0_ns %d\ngpu 0 at 0 power 300000\ngpu 0 fail processes 4\n" %
                    time.monotonic_ns())
        with tracer("-p", server.pid, "--json", "--meter", "nvml", "--idle", "none", env=env) as t:
            ask(port)
            t.stop()
        check(all(r["method"] == "gpu_unsplit" and "gpu_unsplit" in r["flags"] for r in t.rows),
              "a driver that does not say who computes: gpu_unsplit", t.rows)
        server.kill()
        other.kill()
        other.wait()


def lost_gpu():
    """One of 16 GPUs falls off the bus: what it had measured stays, its gap is said, and the 15 others go on."""
    with tempdir() as d:
        shutil.copy(STUB, d + "/libnvidia-ml.so.1")
        server, port = busy_server(d)
        lines = ["gpus 16", "refresh_ms 20", "t0_ns %d" % time.monotonic_ns()]
        lines += ["gpu %d at 0 power 100000" % g for g in range(16)] + ["gpu 3 pid %d sm 60" % server.pid]

        def now(*more):
            with open(d + "/new", "w") as f:
                f.write("\n".join(lines + list(more)) + "\n")
            os.rename(d + "/new", d + "/gpus")

        now()
        with tracer("-p", server.pid, "--json", "--meter", "nvml", "--idle", "none",
                    env={"LD_LIBRARY_PATH": d, "IPW_NVML_STUB": d + "/gpus"}) as t:
            time.sleep(0.1)     # the tick in which the meters were first read is not covered
            ask(port)
            time.sleep(0.5)
            lost_at = datetime.datetime.now(datetime.timezone.utc)
            now(*("gpu 3 fail %s 15" % call for call in ("handle", "energy", "instant", "power", "processes", "usage")))
            time.sleep(1)
            ask(port)
            t.stop()
        server.kill()
        s = t.summary
        before = (lost_at - datetime.datetime.fromisoformat(s["start_time"].replace("Z", "+00:00"))).total_seconds()
        by = {x["domain"]: x["measured_j"] for x in s["sources"]}
        check(len(by) == 16 and all(near(j, 100 * s["duration_s"], LATE) for n, j in by.items() if n != "gpu3"),
              "a GPU is lost: the 15 others are measured", by)
        check(near(by["gpu3"], 100 * before, LATE), "what it measured before is counted", (by, before))
        check("meter_gap" in s["flags"] and balanced(s), "that it is gone is said, and the books add up", s)
        check(len(t.rows) == 2 and "meter_gap" in t.rows[1]["flags"] and "meter_gap" not in t.rows[0]["flags"],
              "and of which query", t.rows)


def model():
    """--power-model: its watts are what is measured, and every output says that it is an estimate."""
    with tempdir() as d:
        server, port = busy_server(d)
        with tracer("-p", server.pid, "--json", "--power-model", "idle=100,max=100") as t:
            ask(port)
            t.stop()
        s = t.summary
        check(near(s["measured_j"], 100 * s["duration_s"], LATE) and s["estimated"] and s["idle_source"] == "model",
              "a machine of 100 W at any load", s)
        check("(estimated)" in t.stderr() and all("estimated" in r["flags"] for r in t.rows), "said to be an estimate")
        server.kill()


def vanishing():
    """A zone that goes away with its driver and comes back from 0: the rest goes on, and the gap is said."""
    with tempdir() as d:
        server, port = busy_server(d)
        zones = [("intel-rapl:0", "package-0", 50, 262143328850), ("intel-rapl:1", "package-1", 30, 262143328850)]
        with Powercap(d + "/sys", zones) as meters:
            with tracer("-p", server.pid, "--json", "--sysfs", d + "/sys", "--meter", "rapl_powercap",
                        "--idle", "none") as t:
                ask(port)
                gone, watts, wrap = meters.files[1]
                meters.files = meters.files[:1]
                time.sleep(0.1)
                gone.truncate(0)
                os.rename(d + "/sys/class/powercap/intel-rapl:1", d + "/gone")
                ask(port)
                with Powercap(d + "/sys", [("intel-rapl:1", "package-1", 30, 262143328850)]):
                    time.sleep(2.5)
                    ask(port)
                    t.stop()
        server.kill()
        s = t.summary
        by = {x["domain"]: x["measured_j"] for x in s["sources"]}
        check(near(by["package-0"], 50 * s["duration_s"], LATE), "a meter that goes leaves the others alone", by)
        check(0.1 * 30 * s["duration_s"] < by["package-1"] < 0.9 * 30 * s["duration_s"],
              "what is measured of the one that came back is counted", by)
        check("meter_gap" in s["flags"] and balanced(s), "the gap is said, and the books add up", s)
        check(len(t.rows) == 3 and "meter_gap" in t.rows[1]["flags"], "and of which query it is", t.rows)


def broken_driver():
    """NVIDIA's library hangs, fails, or is for another machine: said by `list`, and other meters go on."""
    with tempdir() as d:
        env = dict(os.environ, LD_LIBRARY_PATH=d, IPW_NVML_STUB=d + "/gpus")
        with open(STUB, "rb") as f:
            stub = f.read()
        for what, library, gpus, said in (
                ("hangs", stub, "init hang\n", "the driver hangs"),
                ("fails", stub, "init 18\n", "library and driver versions differ"),
                ("is of another machine", stub[:4] + b"\1" + stub[5:], "", "ELF"),
                ("is empty", b"", "", "file too short")):
            with open(d + "/libnvidia-ml.so.1", "wb") as f:
                f.write(library)
            with open(d + "/gpus", "w") as f:
                f.write(gpus)
            began = time.monotonic()
            p = subprocess.run([TRACE, "list", "-v"], capture_output=True, text=True, env=env)
            check(p.returncode == 0 and said in p.stdout and "package_estimated" in p.stdout and
                  time.monotonic() - began < 20, "a library that %s" % what, p.stdout)


def listed():
    """What `list -v` says of meters."""
    with tempdir() as d:
        shutil.copy(STUB, d + "/libnvidia-ml.so.1")
        with open(d + "/gpus", "w") as f:
            f.write("gpus 2\nrefresh_ms 20\ngpu 0 energy_mj 5\ngpu 0 at 0 power 300000\ngpu 1 at 0 power 300000\n"
                    "gpu 1 at 50 power 310000\ngpu 1 fail energy 3\ngpu 1 fail instant 3\ngpu 1 averages\n")
        env = dict(os.environ, LD_LIBRARY_PATH=d, IPW_NVML_STUB=d + "/gpus")
        with Powercap(d + "/sys", [("intel-rapl:0", "package-0", 50, 262143328850)]):
            p = subprocess.run([TRACE, "list", "-v", "--sysfs", d + "/sys"], capture_output=True, text=True, env=env)
        text = p.stdout
        check("a counter, in steps of 61.0 uJ, begins again after 262k J" in text, "RAPL's steps and range", text)
        check("a gauge, mean of 1000 ms, in steps of 1.00 mW" in text, "a gauge that is a mean", text)
        check(text.count("a counter") == 2, "two counters", text)
        with Powercap(d + "/sys2", [("intel-rapl:0", "package-0", 50, 262143328850)]):
            p = subprocess.run([TRACE, "list", "--json", "--sysfs", d + "/sys2"], capture_output=True, text=True,
                               env=env)
        by = {}
        for o in map(json.loads, p.stdout.splitlines()):
            by.setdefault(o["type"], {})[o["name"]] = o
        rapl, counter, gauge = (by["meter"][n] for n in ("package-0", "gpu0", "gpu1"))
        check(set(by) == {"source", "meter", "probe", "dialect", "sink"} and
              all(o["name"] in text and o["doc"] in text for t in by if t != "meter" for o in by[t].values()),
              "--json has the same rows", p.stdout)
        check(near(rapl["wrap_j"], 262143.32885, 1e-9) and near(rapl["resolution_j"], 61e-6, 0.01) and
              rapl["kind"] == counter["kind"] == "counter" and counter["resolution_w"] is None, "and counters", by)
        check([gauge[k] for k in ("kind", "averaged_ms", "resolution_w", "wrap_j", "summed")] ==
              ["gauge", 1000, 0.001, None, True], "and a gauge", gauge)


def bad():
    with tempdir() as d:
        for args, said in ((["--sysfs", "/no/such", "--meter", "rapl_powercap"], "no energy from rapl_powercap"),
                           (["--sysfs", d, "--meter", "rapl_perf"], "no energy from rapl_perf"),
                           (["--meter", "nvml"], "no energy from nvml"),
                           (["--procfs", d, "--meter", "model"], "no energy from model")):
            p = subprocess.run([TRACE, "-p", str(os.getpid()), *args], capture_output=True, text=True)
            check(p.returncode == 1 and said in p.stderr, "no meter: %s" % " ".join(args), p)
        p = subprocess.run([TRACE, "-p", str(os.getpid()), "--idle", "gpu7=4"], capture_output=True, text=True)
        check(p.returncode == 129 and "'gpu7=4'" in p.stderr, "an idle floor for a meter that is not there", p)
        p = subprocess.run([TRACE, "-p", str(os.getpid()), "--meter", "rapl"], capture_output=True, text=True)
        check(p.returncode == 129 and "'rapl'" in p.stderr, "a meter that is none", p)


def disk_full():
    with tempdir() as d:
        os.mkdir(d + "/small")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", d + "/small"], check=True)
        try:
            server, port = busy_server(d)
            with tracer("-p", server.pid, "--json", "-I", 10, "-o", d + "/small/x.data") as t:
                ask(port, 4)
                wait_for(lambda: t.p.poll() is not None, 60, "the disk does not get full")
                t.read()
            check(t.p.returncode == 1 and "No space left" in t.stderr(), "a full disk is said", t.stderr())
            check(t.summary is not None, "and the summary still comes")
            rows, _ = report(d + "/small/x.data")
            check(True, "what was written can be read (%d queries)" % len(rows))
            server.kill()
        finally:
            subprocess.run(["umount", d + "/small"], check=True)


for f in (powercap, platform, gpus, lost_gpu, model, vanishing, broken_driver, listed, bad, disk_full):
    f()
done()
