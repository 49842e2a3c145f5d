#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Runs scenarios inside a guest of scripts/vm-run, one after the other, and leaves what came out in /out/NAME: what the
tracer said, and the module's history and ledgers. Judges nothing: that is test_rig.py's, where time is cheap.

Usage: guest.py SCENARIO.json...
"""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
LOAD = os.path.join(HERE, "../../build/tests/rig/load")
TRACE = os.path.join(HERE, "../../build/ipw-trace")
ENGINE = os.path.join(HERE, "../../build/tests/rig/engine")
NVML = os.path.join(HERE, "../../build/tests/lib/nvml_stub.so")
RIG = "/proc/ipw_rig/"
LLAMA = os.path.join(HERE, "../../scripts/llama-server")
PORT = 8000


def read(path):
    with open(path, "rb") as f:
        return f.read()


def control(lines):
    with open(RIG + "control", "w") as f:
        f.write("\n".join(lines) + "\n")


def readings():
    """What each file shows that has joules, between two looks at the truth."""
    zones = glob.glob("/sys/class/powercap/intel-rapl:*")
    before, out = read(RIG + "ledger").decode(), {}
    for z in zones:
        out[os.path.basename(z)] = [read(z + "/name").decode().strip(), int(read(z + "/energy_uj"))]
    for h in glob.glob("/sys/class/hwmon/hwmon*/energy1_input"):
        out["hwmon"] = ["package-0", int(read(h))]
    return {"before": before, "shown": out, "after": read(RIG + "ledger").decode()}


def insert(s):
    args = ["%s=%s" % kv for kv in s.get("module", {}).items()]
    subprocess.run(["insmod", "/rig/ipw_rig.ko", *args], check=True)
    control(["base %s %d" % (zone, mw) for zone, mw in s["base_mw"].items()] +
            ["load %s %d %d" % (comm, *mw) for comm, mw in s["loads_mw"].items()] + s.get("meters", []))


def gpu(s, pid):
    """A GPU whose meter is that of package-0, and who computes there; what the tracer finds it by."""
    if s["engine"].get("meter") == "gauge":
        meter = ["fail energy 3", "fail instant 3", "averages",
                 "power_file " + glob.glob("/sys/class/hwmon/hwmon*/power1_average")[0]]
    else:
        meter = ["energy_file /sys/class/powercap/intel-rapl:0/energy_uj"]
    os.makedirs("/tmp/nvml", exist_ok=True)
    with open("/tmp/gpu", "w") as f:
        f.write("gpus 1\n" + "".join("gpu 0 %s\n" % x for x in ["name Rig", "pid %d sm 50" % pid] + meter))
    if not os.path.exists("/tmp/nvml/libnvidia-ml.so.1"):
        os.symlink(os.path.realpath(NVML), "/tmp/nvml/libnvidia-ml.so.1")
    return dict(os.environ, LD_LIBRARY_PATH="/tmp/nvml", IPW_NVML_STUB="/tmp/gpu")


def llama(s):
    """The real llama.cpp, of the Python environment that is /share. All its threads are called as its program is."""
    if not os.path.exists("/tmp/server"):
        os.symlink("/usr/bin/python3", "/tmp/server")
    path = glob.glob("/share/lib/python3.*/site-packages")[0]
    for folder, _, files in os.walk(path):
        for name in files:
            if name.endswith((".gguf", ".so")):
                read(os.path.join(folder, name))
    p = subprocess.Popen(["/tmp/server", LLAMA, str(PORT), *s["llama"]], env=dict(os.environ, PYTHONPATH=path))
    while True:
        try:
            urllib.request.urlopen("http://127.0.0.1:%d/health" % PORT)
            return p
        except urllib.error.URLError:
            if p.poll() is not None:
                raise RuntimeError("llama.cpp ended")
            time.sleep(0.5)


def serve(s):
    if "llama" in s:
        return llama(s)
    if "plan" in s:
        with open("/tmp/plan", "w") as f:
            f.write(s["plan"])
        p = subprocess.Popen([ENGINE, "serve", "/tmp/plan", "/tmp/truth"])
        time.sleep(1.2)                     # a gauge that has no second behind it yet shows 0 W, which is no GPU
        return p
    v = s["server"]
    p = subprocess.Popen([LOAD, "serve", "server", str(v.get("cpu", -1)), str(PORT), str(v["tokens"]),
                          str(v["burn_ms"]), str(v["wait_ms"])] + ([str(v["prefill_ms"])] if "prefill_ms" in v else []))
    time.sleep(0.2)
    return p


def trace(s, pid):
    with open("/tmp/out", "w") as out, open("/tmp/err", "w") as err:
        p = subprocess.Popen([TRACE, "--json", "-o", "/tmp/recording", "-p", str(pid), *s.get("tracer", [])],
                             stdout=out, stderr=err, env=gpu(s, pid) if "plan" in s else None)
    while b"attached" not in read("/tmp/err"):
        if p.poll() is not None:
            raise RuntimeError("the tracer ended: " + read("/tmp/err").decode())
        time.sleep(0.05)
    return p


def play(s, procs):
    """What happens while it is traced. The tenants begin with it: while it attaches they would only cost us time."""
    begin = time.monotonic()
    procs += [subprocess.Popen([LOAD, "burn", *map(str, b)]) for b in s.get("burn", [])]
    if "plan" in s:
        procs.append(subprocess.Popen([ENGINE, "drive", "/tmp/plan"]))
    for at, what, arg in sorted(s.get("at", []), key=lambda x: x[0]) + [[s["seconds"], "end", None]]:
        time.sleep(max(0, begin + at - time.monotonic()))
        if what == "ask":
            n, tokens, words = arg if isinstance(arg, list) else (arg, 6, 1)
            procs.append(subprocess.Popen([LOAD, "ask", *map(str, (PORT, n, tokens, words))]))
        elif what == "control":
            control([arg])
        elif what == "write":
            with open(arg[0], "w") as f:
                f.write(arg[1])
        elif what == "clock":
            time.clock_settime(time.CLOCK_REALTIME, time.time() + arg)
        elif what == "refresh_us":
            with open("/sys/module/ipw_rig/parameters/refresh_us", "w") as f:
                f.write(str(arg))


def run(s, to):
    procs = []
    insert(s)
    try:
        raw = [readings()]
        procs.append(serve(s))
        p = trace(s, procs[0].pid)
        play(s, procs)
        p.send_signal(signal.SIGINT)
        status = p.wait(60)
        raw.append(readings())
        history = read(RIG + "history")
        procs[0].terminate()
        procs[0].wait(60)
    finally:
        for q in procs:
            q.kill()
            q.wait()
        subprocess.run(["rmmod", "ipw_rig"], check=True)
    os.makedirs(to, exist_ok=True)
    with open(to + "/history", "wb") as f:
        f.write(history)
    for name in ("out", "err", "recording") + (("truth",) if "plan" in s else ()):
        shutil.copy("/tmp/" + name, to + "/" + name)
    with open(to + "/run.json", "w") as f:
        json.dump({"status": status, "raw": raw, "kernel": os.uname().release,
                   "wall_less_monotonic_ns": time.time_ns() - time.monotonic_ns()}, f)


def warm():
    """Reads what the programs are of. A page that has to come from the host takes time there, and here it is idle time:
    the clock goes on to the next timer, and the tracer's ticks are late."""
    for program in (TRACE, LOAD, ENGINE):
        said = subprocess.run([program], env={"LD_TRACE_LOADED_OBJECTS": "1"}, stdout=subprocess.PIPE, text=True).stdout
        for path in [program] + re.findall(r"(/\S+) \(0x", said):
            read(path)


def main():
    warm()
    for path in sys.argv[1:]:
        name = os.path.basename(path).removesuffix(".json")
        with open(path) as f:
            s = json.load(f)
        try:
            run(s, "/out/" + name)
            print("%s: done" % name, flush=True)
        except Exception as e:
            print("%s: %s: %s" % (name, type(e).__name__, e), flush=True)


main()
