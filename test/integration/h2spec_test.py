"""Runs h2spec (go install github.com/summerwind/h2spec/cmd/h2spec@latest) against the gateway; all its cases must pass. Without the
tool only the gateway and the origin are started and one request is sent. H2SPEC names the binary if it is not in PATH or ~/go/bin."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

CONFIG = """
static_resources:
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: LISTENER}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
          codec_type: HTTP2
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: origin}}]}]}
          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: origin
    load_assignment: {cluster_name: origin, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ORIGIN}}}}]}]}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit("it did not start")


def main(gatehouse, origin):
    h2spec = os.environ.get("H2SPEC") or shutil.which("h2spec") or os.path.expanduser("~/go/bin/h2spec")
    port, behind = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "gateway.yaml")
        with open(config, "w") as file:
            file.write(CONFIG.replace("LISTENER", str(port)).replace("ORIGIN", str(behind)))
        running = [subprocess.Popen([origin, "--port", str(behind)])]
        try:
            wait_for(behind, running[0])
            running.append(subprocess.Popen([gatehouse, "-c", config, "--concurrency", "1", "-l", "error"]))
            wait_for(port, running[1])
            if not os.access(h2spec, os.X_OK):
                # The preface and an empty SETTINGS frame: the gateway's SETTINGS come back.
                with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
                    assert connection.recv(9)[3] == 4, "no SETTINGS"
                print("h2spec is not installed: only the handshake was checked")
                return 0
            done = subprocess.run([h2spec, "-h", "127.0.0.1", "-p", str(port), "-P", "/x"], capture_output=True, text=True, timeout=250)
            print(done.stdout[done.stdout.find("Failures"):] if "Failures" in done.stdout else done.stdout[-200:])
            return 0 if "145 passed, 0 skipped, 0 failed" in done.stdout else 1
        finally:
            for process in running:
                process.kill()
                process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
