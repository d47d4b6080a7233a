"""The driver of tools/bench. Per round every proxy is measured once per scenario, in turning order, on the same core, with the
same load from the other; figures are quoted as ratios within a round."""

import argparse
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import peers as peer_list
import report

PROXY_CORE, LOAD_CORE = "0", "1"

POST = 'wrk.method = "POST"\nwrk.body = string.rep("x", 65536)\n'
HOSTS = 'local i = 0\nfunction request()\n i = (i * 7919 + 1) % 10000\n return "GET /bytes/1024 HTTP/1.1\\r\\nHost: host" .. i .. ".example\\r\\n\\r\\n"\nend\n'
PREFIXES = 'local i = 0\nfunction request()\n i = (i * 7919 + 1) % 10000\n return "GET /p" .. i .. "/bytes/1024 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n"\nend\n'

# name: (what it is, configuration, wrk arguments, path, Lua, unit, target ratio to nginx)
LOADS = {
    "h1_get_1k": ("HTTP/1.1 keep-alive GET of 1 KiB, 50 connections", "plain", ["-c50"], "/bytes/1024", "", "us/request", 0.85),
    "h1_get_64k": ("GET of 64 KiB, 50 connections", "plain", ["-c50"], "/bytes/65536", "", "us/request", 0.90),
    "h1_post_64k": ("POST of 64 KiB, 50 connections", "plain", ["-c50"], "/bytes/10", POST, "us/request", 0.85),
    "h1_connection_per_request": ("a new connection for each GET of 1 KiB", "plain", ["-c50", "-H", "Connection: close"], "/bytes/1024", "", "us/request", 0.90),
    "h1_10k_hosts": ("GET of 1 KiB over 10,000 virtual hosts", "hosts", ["-c50"], "/bytes/1024", HOSTS, "us/request", 0.85),
    "h1_10k_prefixes": ("GET of 1 KiB over 10,000 path prefixes", "prefixes", ["-c50"], "/bytes/1024", PREFIXES, "us/request", 0.85),
    "h1_100m_download": ("downloads of 100 MiB, 4 connections", "plain", ["-c4"], "/bytes/104857600", "", "us/MiB", 0.90),
    "h2c_get_1k": ("HTTP/2 GET of 1 KiB, 10 connections with 10 streams", "h2c", ["-c10", "-m10"], "/bytes/1024", "", "us/request", 0.70),
    "h2c_to_h2_get_1k": ("the same with HTTP/2 to the origin", "h2up", ["-c10", "-m10"], "/1k", "", "us/request", None),
    "h1_to_h2_get_1k": ("HTTP/1.1 GET of 1 KiB, 50 connections, HTTP/2 to the origin", "h2up", ["-c50"], "/1k", "", "us/request", None),
    "h1_access_log": ("as h1_get_1k with an access log to /dev/null", "log", ["-c50"], "/bytes/1024", "", "us/request", None),
}
OTHERS = {
    "idle_connections": ("resident memory of 10,000 kept connections that served one request each", "bytes/connection", 500),
    "start_to_ready": ("from exec to the first accepted connection", "ms", 50),
}


def processes(pid):
    found = [pid]
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            for child in file.read().split():
                found += processes(int(child))
    except OSError:
        pass
    return found


def cpu_ns(pid):
    """CPU time of a process with its children and threads, nanoseconds, as the scheduler counts it."""
    total = 0
    for process in processes(pid):
        try:
            for thread in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{thread}/schedstat") as file:
                    total += int(file.read().split()[0])
        except OSError:
            pass
    return total


def rss_bytes(pid):
    total = 0
    for process in processes(pid):
        with open(f"/proc/{process}/status") as file:
            found = re.search(r"VmRSS:\s+(\d+) kB", file.read())
            total += int(found.group(1)) * 1024 if found else 0
    return total


def machine():
    """(busy seconds, stolen seconds, all seconds) of all cores."""
    with open("/proc/stat") as file:
        ticks = [int(value) for value in file.readline().split()[1:9]]
    hertz = os.sysconf("SC_CLK_TCK")
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle - ticks[7]) / hertz, ticks[7] / hertz, sum(ticks) / hertz


def wait_for_port(port, process, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with exit code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.001)
    raise RuntimeError("it does not accept connections")


class Bench:
    def __init__(self, options):
        self.options = options
        self.folder = tempfile.mkdtemp(prefix="gatehouse-bench-")
        self.children = []
        self.next_port = 20000
        found = peer_list.installed(options.gatehouse)
        wanted = ["gatehouse"] + [p for p in (options.peers or "nginx,haproxy,envoy").split(",") if p]
        for name in wanted:
            if name not in ("gatehouse", "nginx", "haproxy", "envoy"):
                sys.exit(f"tools/bench: no such peer: {name}")
            if name not in found:
                print(f"tools/bench: {name} is not installed and left out (--install gets it)")
        self.peers = {name: found[name] for name in wanted if name in found}

    def port(self):
        while True:
            self.next_port += 2
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", self.next_port))
                    return self.next_port
                except OSError:
                    pass

    def spawn(self, core, command, log):
        with open(os.path.join(self.folder, log), "w") as out:
            child = subprocess.Popen(["taskset", "-c", core] + command, stdout=out, stderr=out)
        self.children.append(child)
        return child

    def start(self, name, scenario):
        folder = os.path.join(self.folder, f"{name}-{scenario}-{self.next_port}")
        os.mkdir(folder)
        port = self.port()
        child = self.spawn(PROXY_CORE, self.peers[name].command(folder, self.origin_port, port, scenario), f"{name}.log")
        try:
            wait_for_port(port, child)
        except RuntimeError as problem:
            with open(os.path.join(self.folder, f"{name}.log")) as log:
                sys.exit(f"tools/bench: {name}: {problem}:\n{log.read()[-2000:]}")
        return child, port

    def stop(self, child):
        for process in processes(child.pid):  # listed first: workers of a dead master are not its children any more
            try:
                os.kill(process, signal.SIGKILL)
            except OSError:
                pass
        child.wait()
        self.children.remove(child)

    def close(self):
        for child in list(self.children):
            self.stop(child)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, names):
        self.origin_port = self.port()
        self.origin = self.spawn(LOAD_CORE, [self.options.origin, "--port", str(self.origin_port)], "origin.log")
        wait_for_port(self.origin_port, self.origin)
        results = []
        for name in names:
            if name in LOADS:
                result = self.load(name)
                if result is None:
                    continue
                results.append(result)
            elif name == "idle_connections":
                results.append(self.single(name, self.idle))
            else:
                results.append(self.single(name, self.start_time))
            print("\n" + report.table(results[-1:]) + "\n", flush=True)
        return results

    def load(self, name):
        _, scenario, arguments, path, lua, unit, target = LOADS[name]
        script = []
        if lua:
            script = ["-s", os.path.join(self.folder, name + ".lua")]
            with open(script[1], "w") as file:
                file.write(lua)
        tool = self.h2load if name.startswith("h2c_") else self.wrk
        if scenario == "h2up" and not self.start_h2_origin():
            print(f"  {name}: left out: nghttpd is not installed (--install gets it)", flush=True)
            return None
        able = [peer for peer in self.peers if scenario != "h2up" or peer != "nginx"]  # nginx speaks HTTP/1 to its upstreams
        self.tool = tool
        running = {peer: self.start(peer, scenario) for peer in able}
        rounds, order, refused = [], list(able), 0
        for peer, (child, port) in running.items():
            self.measure(child, port, path, arguments + script, unit, 0.5)  # pools and caches filled
        for number in range(self.options.rounds):
            result = {}
            for peer in order:
                child, port = running[peer]
                for _ in range(3):
                    window = self.measure(child, port, path, arguments + script, unit, self.options.seconds)
                    why = report.noisy(window)
                    if not why or self.options.allow_noise:
                        result[peer] = window
                        break
                    refused += 1
                    print(f"  {name}: {peer}: refused: {why}", flush=True)
                if peer in result:
                    print(f"  {name} round {number + 1}/{self.options.rounds} {peer:10} {result[peer]['cost']:9.2f} {unit}", flush=True)
            rounds.append(result)
            order = order[1:] + order[:1]
        if self.options.syscalls:
            for peer, (child, port) in running.items():
                rounds[0].setdefault(peer, {})["syscalls"] = self.count_syscalls(child, port, path, arguments + script)
        for child, _ in running.values():
            self.stop(child)
        if scenario == "h2up":
            self.stop(self.origin)
            self.origin, self.origin_port = self.h1_origin
        return {"scenario": name, "unit": unit, "target": target, "peers": able, "rounds": rounds, "refused": refused}

    def start_h2_origin(self):
        nghttpd = shutil.which("nghttpd", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if not nghttpd:
            return False
        with open(os.path.join(self.folder, "1k"), "w") as file:
            file.write("x" * 1024)
        self.h1_origin = (self.origin, self.origin_port)
        self.origin_port = self.port()
        self.origin = self.spawn(LOAD_CORE, [nghttpd, "--no-tls", "-d", self.folder, str(self.origin_port)], "nghttpd.log")
        wait_for_port(self.origin_port, self.origin)
        return True

    def h2load(self, port, path, arguments, seconds):
        command = ["taskset", "-c", LOAD_CORE, "h2load", "-t1", "-D", f"{seconds:g}"] + arguments
        done = subprocess.run(command + [f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True)
        found = re.search(r"(\d+) done, (\d+) succeeded", done.stdout)
        traffic = re.search(r"traffic: .*? \((\d+)\) total", done.stdout)
        if not found or found.group(1) != found.group(2) or not traffic:
            sys.exit(f"tools/bench: h2load failed:\n{done.stdout}{done.stderr}")
        return int(found.group(1)), float(traffic.group(1)), {}

    def wrk(self, port, path, arguments, seconds):
        command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", "--latency", "-d", f"{seconds:g}s"] + arguments
        done = subprocess.run(command + [f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True)
        found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m), ([\d.]+)(B|KB|MB|GB) read", done.stdout)
        if not found:
            sys.exit(f"tools/bench: wrk failed:\n{done.stdout}{done.stderr}")
        problem = re.search(r"(Socket errors: .*|Non-2xx.*)", done.stdout)
        if problem and not re.search(r"connect 0, read \d+, write 0, timeout 0", problem.group(1)):
            sys.exit(f"tools/bench: wrk reports: {problem.group(1)}")
        scale = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}[found.group(5)]
        latency = {}
        for percent in ("50", "99"):
            at = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", done.stdout)
            if at:
                latency["p" + percent] = float(at.group(1)) * {"us": 1e-3, "ms": 1, "s": 1e3}[at.group(2)]
        return int(found.group(1)), float(found.group(4)) * scale, latency

    def measure(self, child, port, path, arguments, unit, seconds):
        seconds = max(1, round(seconds))
        cpu, origin, clock = cpu_ns(child.pid), cpu_ns(self.origin.pid), time.monotonic()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy, stolen, everything = machine()
        requests, received, latency = self.tool(port, path, arguments, seconds)
        after, elapsed = machine(), time.monotonic() - clock
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = cpu_ns(child.pid) - cpu
        ours = (spent + cpu_ns(self.origin.pid) - origin) / 1e9 + (now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
        per = received / 2**20 if unit == "us/MiB" else requests
        return {"cost": spent / 1e3 / max(per, 1), "rate": requests / elapsed, "rss": rss_bytes(child.pid) / 2**20,
                "elapsed": elapsed, "others": max(0.0, after[0] - busy - ours),
                "steal": (after[1] - stolen) / max(after[2] - everything, 1e-9), **latency}

    def count_syscalls(self, child, port, path, arguments):
        if not shutil.which("strace"):
            sys.exit("tools/bench: --syscalls needs strace (--install gets it)")
        out = os.path.join(self.folder, "strace.out")
        pids = [argument for pid in processes(child.pid) for argument in ("-p", str(pid))]
        tracer = subprocess.Popen(["strace", "-f", "-c", "-o", out] + pids, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        requests, _, _ = self.tool(port, path, arguments, 2)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        with open(out) as file:
            total = re.search(r"100\.00\s+[\d.]+\s+\d*\s+(\d+).*total", file.read())
        return int(total.group(1)) / requests if total and requests else None

    def single(self, name, measure):
        _, unit, limit = OTHERS[name]
        rounds = []
        for number in range(self.options.rounds if name == "start_to_ready" else 1):
            rounds.append({})
            for peer in self.peers:
                rounds[-1][peer] = {"cost": measure(peer)}
                print(f"  {name} round {number + 1} {peer:10} {rounds[-1][peer]['cost']:9.2f} {unit}", flush=True)
        return {"scenario": name, "unit": unit, "limit": limit, "peers": list(self.peers), "rounds": rounds, "refused": 0}

    def idle(self, peer):
        child, port = self.start(peer, "plain")
        def served():
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(b"GET /bytes/10 HTTP/1.1\r\nHost: a\r\n\r\n")
            while b"xxxxxxxxxx" not in connection.recv(4096):
                pass
            return connection
        warm = [served() for _ in range(200)]
        before = rss_bytes(child.pid)
        # Two descriptors a connection in some proxies: fewer where the limit is low.
        count = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 700)
        kept = [served() for _ in range(count)]
        cost = (rss_bytes(child.pid) - before) / len(kept)
        for connection in warm + kept:
            connection.close()
        self.stop(child)
        return cost

    def start_time(self, peer):
        began = time.monotonic()
        child, _ = self.start(peer, "plain")
        cost = (time.monotonic() - began) * 1e3
        self.stop(child)
        return cost


def main():
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    parser.add_argument("--install", action="store_true", help="install the peers and wrk first")
    parser.add_argument("--list", action="store_true", help="print the scenarios")
    parser.add_argument("--only", help="scenarios, comma-separated")
    parser.add_argument("--peers", help="nginx,haproxy,envoy")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="per measurement, at least 1")
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("--svg", help="write a chart to this file")
    parser.add_argument("--syscalls", action="store_true", help="count system calls per request with strace")
    parser.add_argument("--allow-noise", action="store_true", help="keep rounds on a busy machine; the output says so")
    parser.add_argument("--gatehouse", "--binary", help="binary to measure")
    parser.add_argument("--origin", help=argparse.SUPPRESS)
    options = parser.parse_args()
    everything = list(LOADS) + list(OTHERS)
    if options.list:
        for name in everything:
            print(f"{name:28} {(LOADS.get(name) or OTHERS.get(name))[0]}")
        return
    names = options.only.split(",") if options.only else everything
    for name in names:
        if name not in everything:
            sys.exit(f"tools/bench: no such scenario: {name} (--list shows them)")
    for tool in ("wrk", "taskset") + (("h2load",) if any(name.startswith("h2c_") for name in names) else ()):
        if not shutil.which(tool):
            sys.exit(f"tools/bench: {tool} is not installed (--install gets it)")
    if os.cpu_count() < 2:
        sys.exit("tools/bench: two cores are needed, one for the proxy and one for the load")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(options)
    about = {"versions": {name: peer.version for name, peer in bench.peers.items()}, "kernel": os.uname().release,
             "rounds": options.rounds, "seconds": options.seconds, "noise_allowed": options.allow_noise}
    try:
        results = bench.run(names)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        bench.close()
    print("\n" + ("NOISY ROUNDS WERE KEPT (--allow-noise)\n" if options.allow_noise else "") + report.table(results))
    if options.json:
        with open(options.json, "w") as file:
            file.write(report.to_json(results, about))
    if options.svg:
        with open(options.svg, "w") as file:
            file.write(report.svg(results))


if __name__ == "__main__":
    main()
