"""The proxies under test: how each is configured and started. One worker each, access logs off."""

import os
import resource
import shutil
import subprocess

HOSTS = 10_000


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def envoy_style(origin, port, scenario, gatehouse):
    """One YAML for Gatehouse and Envoy. `scenario`: plain, hosts, prefixes, log, h2c, h2up (HTTP/2 to the origin)."""
    if scenario == "hosts":
        hosts = "".join(
            f'            - {{name: h{i}, domains: ["host{i}.example"], routes: [{{match: {{prefix: /}}, route: {{cluster: origin}}}}]}}\n'
            for i in range(HOSTS))
    elif scenario == "prefixes":
        hosts = '            - name: all\n              domains: ["*"]\n              routes:\n' + "".join(
            f"              - {{match: {{prefix: /p{i}/}}, route: {{cluster: origin, prefix_rewrite: /}}}}\n" for i in range(HOSTS))
    else:
        hosts = '            - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: origin}}]}\n'
    log = ""
    if scenario == "log":
        log = """          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: /dev/null
"""
    stats = "" if gatehouse else "stats_config: {stats_matcher: {reject_all: true}}\n"
    h2up = """    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
""" if scenario == "h2up" else ""
    limits = "{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}"
    return f"""{stats}admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port + 1}}}}}}}
static_resources:
  listeners:
  - name: main
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          generate_request_id: false
{log}          route_config:
            name: bench
            virtual_hosts:
{hosts}          http_filters:
          - name: router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 5s
{h2up}    circuit_breakers: {{thresholds: [{limits}]}}
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {origin}}}}}}}
"""


def nginx(origin, port, scenario, folder):
    """Buffers hold the largest answer of the table, so that nothing goes to a temporary file; 100 MiB are streamed."""
    location = "location / { proxy_pass http://origin; }"
    if scenario == "hosts":
        servers = "".join(f"server {{ listen 127.0.0.1:{port}; server_name host{i}.example; {location} }}\n" for i in range(HOSTS))
    elif scenario == "prefixes":
        locations = "".join(f"location /p{i}/ {{ proxy_pass http://origin/; }}\n" for i in range(HOSTS))
        servers = f"server {{ listen 127.0.0.1:{port}; {locations} }}\n"
    else:
        servers = f"server {{ listen 127.0.0.1:{port} backlog=4096{' http2' if scenario == 'h2c' else ''}; {location} }}\n"
    log = "/dev/null" if scenario == "log" else "off"
    paths = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""worker_processes 1; daemon off; error_log {folder}/error.log crit; pid {folder}/pid; worker_rlimit_nofile 100000;
events {{ worker_connections 50000; }}
http {{
  access_log {log}; client_body_temp_path {folder}/body; {paths}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  keepalive_requests 1000000000; keepalive_timeout 3600s; server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
  proxy_buffer_size 16k; proxy_buffers 16 16k; proxy_busy_buffers_size 64k; proxy_max_temp_file_size 0;
  client_max_body_size 0; client_body_buffer_size 128k; proxy_request_buffering off;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 512; keepalive_requests 1000000000; }}
{servers}}}
"""


def haproxy(origin, port, scenario, folder):
    # It wants two descriptors for each of maxconn and refuses to start without them.
    connections = min(50_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 100)
    rules = "default_backend origin"
    if scenario == "hosts":
        write(folder, "hosts.map", "".join(f"host{i}.example origin\n" for i in range(HOSTS)))
        rules = f"use_backend %[req.hdr(host),map({folder}/hosts.map)]"
    elif scenario == "prefixes":
        write(folder, "paths.map", "".join(f"/p{i}/ origin\n" for i in range(HOSTS)))
        rules = f"use_backend %[path,map_beg({folder}/paths.map)]"
    strip = "http-request set-path %[path,regsub(^/p[0-9]+/,/)]\n" if scenario == "prefixes" else ""
    return f"""global
  nbthread 1
  maxconn {connections}
defaults
  mode http
  timeout client 3600s
  timeout server 3600s
  timeout connect 5s
  timeout http-keep-alive 3600s
  http-reuse always
frontend in
  bind 127.0.0.1:{port} backlog 4096{" proto h2" if scenario == "h2c" else ""}
  {rules}
backend origin
  {strip}  server o 127.0.0.1:{origin} pool-max-conn 1000{" proto h2" if scenario == "h2up" else ""}
"""


def find_envoy():
    try:
        import envoy
        path = os.path.join(os.path.dirname(envoy.__file__), "_bin", "envoy")
        if os.access(path, os.X_OK):
            return path
    except ImportError:
        pass
    return shutil.which("envoy")


class Peer:
    def __init__(self, name, command, version):
        self.name, self.command, self.version = name, command, version


def output(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        return (done.stdout + done.stderr).strip().split("\n")[0]
    except OSError:
        return "?"


def installed(gatehouse):
    """Name to Peer; `command(folder, origin, port, scenario)` gives the command line."""
    found = {}

    def own(folder, origin, port, scenario):
        return [gatehouse, "-c", write(folder, "gatehouse.yaml", envoy_style(origin, port, scenario, True)), "--concurrency", "1", "-l", "error"]

    found["gatehouse"] = Peer("gatehouse", own, output([gatehouse, "--version"]))
    if path := shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        found["nginx"] = Peer("nginx", lambda folder, origin, port, scenario, path=path: [
            path, "-p", folder, "-c", write(folder, "nginx.conf", nginx(origin, port, scenario, folder))], output([path, "-v"]))
    if path := shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        found["haproxy"] = Peer("haproxy", lambda folder, origin, port, scenario, path=path: [
            path, "-db", "-f", write(folder, "haproxy.cfg", haproxy(origin, port, scenario, folder))], output([path, "-v"]))
    if path := find_envoy():
        found["envoy"] = Peer("envoy", lambda folder, origin, port, scenario, path=path: [
            path, "-c", write(folder, "envoy.yaml", envoy_style(origin, port, scenario, False)), "--concurrency", "1",
            "-l", "error", "--disable-hot-restart"], output([path, "--version"]))
    return found
