import tempfile
import threading
import unittest
from pathlib import Path

from clic.limits import FRESH_SECONDS, Limit, Stations, neighbours
from web_service import Clock

TABLE = """\
IP address       HW type     Flags       HW address            Mask     Device
10.42.0.17       0x1         0x2         02:00:00:00:01:0A     *        hotspot0
10.42.0.18       0x1         0x0         00:00:00:00:00:00     *        hotspot0
10.42.0.19       0x1
\xff
"""


class Neighbours(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "arp"
        self.path.write_text(TABLE, encoding="latin-1")
        self.clock = Clock()
        self.stations = Stations(str(self.path), self.clock)

    def test_by_hardware_where_it_is_known(self) -> None:
        for address, station in (("10.42.0.17", "02:00:00:00:01:0a"), ("::ffff:10.42.0.17", "02:00:00:00:01:0a"),
                                 ("10.42.0.18", "10.42.0.18"), ("10.42.0.99", "10.42.0.99"),
                                 ("fd00::1:2:3:4", "fd00::/64"), ("fd00::9", "fd00::/64"), ("fd00:0:0:1::9", "fd00:0:0:1::/64"),
                                 ("", "unknown"), ("unix:", "unknown"), ("10.42.0.17\n", "unknown")):
            self.assertEqual(self.stations.station(address), station, address)

    def test_the_table_is_read_again(self) -> None:
        self.assertEqual(self.stations.station("10.42.0.20"), "10.42.0.20")
        self.path.write_text(TABLE.replace("10.42.0.17", "10.42.0.20"), encoding="latin-1")
        self.assertEqual(self.stations.station("10.42.0.20"), "10.42.0.20")
        self.clock.now += FRESH_SECONDS
        self.assertEqual(self.stations.station("10.42.0.20"), "02:00:00:00:01:0a")
        self.path.unlink()
        self.clock.now += FRESH_SECONDS
        self.assertEqual(self.stations.station("10.42.0.20"), "10.42.0.20")

    def test_the_kernels_own_table_can_be_read(self) -> None:
        with open("/proc/net/arp", encoding="ascii") as file:
            self.assertEqual(file.readline().split(), TABLE.splitlines()[0].split())
        self.assertIsInstance(neighbours(), dict)


class Limits(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def test_a_burst_then_a_pace(self) -> None:
        limit = Limit(3, 6, clock=self.clock)
        self.assertEqual([limit.take("a") for _ in range(4)], [0, 0, 0, 10])
        self.clock.now += 4
        self.assertAlmostEqual(limit.take("a"), 6)
        self.clock.now += 6
        self.assertEqual([limit.take("a"), limit.take("a")], [0, 10])
        self.assertEqual(limit.take("b"), 0)
        # However long one is away, it is a burst and no more.
        self.clock.now += 10**6
        self.assertEqual([limit.take("a") for _ in range(4)], [0, 0, 0, 10])

    def test_somebody_who_is_refused_does_not_wait_longer_for_it(self) -> None:
        limit = Limit(1, 60, clock=self.clock)
        self.assertEqual(limit.take("a"), 0)
        for _ in range(1000):
            self.assertEqual(limit.take("a"), 1)
        self.clock.now += 1
        self.assertEqual(limit.take("a"), 0)

    def test_invented_stations_fill_no_memory(self) -> None:
        limit = Limit(1, 1, most=100, clock=self.clock)
        for number in range(1000):
            limit.take(f"station-{number}")
            limit.take("busy")
        self.assertEqual(len(limit._left), 100)
        # Who asks all the time is not forgotten for them.
        self.assertGreater(limit.take("busy"), 0)

    def test_threads_share_it(self) -> None:
        limit = Limit(500, 0.001, clock=self.clock)
        taken: list[float] = []
        threads = [threading.Thread(target=lambda: taken.extend(limit.take("a") for _ in range(200))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(taken.count(0), 500)


if __name__ == "__main__":
    unittest.main()
