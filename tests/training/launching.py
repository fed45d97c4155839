"""A script in two processes, started as a user starts it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAUNCH_CONFIG = """\
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
num_machines: 1
num_processes: 2
machine_rank: 0
main_process_port: {port}
main_training_function: main
mixed_precision: 'no'
rdzv_backend: static
same_network: true
use_cpu: false
downcast_bf16: 'no'
debug: false
"""


def launch(script: str, folder: Path, *names: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run `script folder names...` in two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "launch.yaml"
    config.write_text(LAUNCH_CONFIG.format(port=port))
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), script, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, *names], env=environment, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
    )
