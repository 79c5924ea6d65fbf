"""RunPod's npm client, unchanged, against the real program: what it calls and reads works."""

import os
import subprocess
import unittest

from support.programs import Gateway, nobody
from support.waiting import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))


class RunpodSdk(unittest.TestCase):
    def test_the_javascript_client_runs_unchanged(self):
        with Gateway(simulate=1, settings={"download.retries": 0}, flags=["--allow-host", "127.0.0.1:9"]) as ready, \
                Gateway([nobody()]) as idle:
            ready.wait_until_ready(60)
            client = subprocess.run(
                ["node", "--test", "client-js/runpod_sdk.mjs"], cwd=HERE, capture_output=True, text=True, check=False,
                env={**os.environ, "READY_URL": ready.url, "IDLE_URL": idle.url}, timeout=100 * PATIENCE)
            said = client.stdout[-8000:] + client.stderr[-2000:]
            self.assertEqual(client.returncode, 0, f"{said}\nthe gateway said:\n{ready.output()[-4000:]}")


if __name__ == "__main__":
    unittest.main()
