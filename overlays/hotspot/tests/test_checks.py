import http.server
import importlib
import tempfile
import threading
import unittest
import unittest.mock

from clic.hotspot import uplink
from hotspot_settings import settings

with unittest.mock.patch("clic.hotspot.settings.load", settings):
    internet = importlib.import_module("clic.checks.internet")


class Internet(unittest.TestCase):
    def test_its_page_passes_for_internet(self) -> None:
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), internet.Page) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.assertTrue(uplink.answers(f"http://127.0.0.1:{server.server_port}/nm"))
            server.shutdown()

    def test_guests_own_network_is_not_in_it(self) -> None:
        for address in ("10.213.77.1/24", "172.30.0.1/16", "192.168.0.1/16"):
            changed = settings(address=address, uplink_check="http://10.9.9.9:8080/x")
            with unittest.mock.patch.object(internet.h, "SETTINGS", changed):
                found = internet.addresses()
            self.assertEqual(len(found), 4, found)
            self.assertIn("10.9.9.9", found)

    def test_name_servers_that_the_box_has_of_its_own_are_in_it(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write("# some\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n\noptions rotate\n")
            file.flush()
            self.assertEqual(internet.name_servers(file.name), {"192.0.2.53"})
        self.assertEqual(internet.name_servers(file.name), set())


if __name__ == "__main__":
    unittest.main()
