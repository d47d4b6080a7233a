"""Every example configuration of docs/ loads, compiles and refuses a misspelt field."""

import subprocess
import sys
import tempfile


def validate(gatehouse, path):
    return subprocess.run([gatehouse, "-c", path, "--mode", "validate"], capture_output=True, text=True)


def main(gatehouse, *examples):
    failed = 0 if examples else 1
    for path in examples:
        good = validate(gatehouse, path)
        with open(path) as file, tempfile.NamedTemporaryFile("w", suffix=".yaml") as changed:
            changed.write(file.read().replace("stat_prefix:", "stat_prefx:"))
            changed.flush()
            bad = validate(gatehouse, changed.name)
        if good.returncode != 0 or bad.returncode == 0 or "did you mean 'stat_prefix'?" not in bad.stderr:
            print(f"{path}: exit codes {good.returncode} and {bad.returncode}:\n{good.stderr}{bad.stderr}")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
