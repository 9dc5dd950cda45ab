"""What a guest in bad faith gets, of real rules and a real dnsmasq. The same programs attack a device in its boot test."""

import subprocess
import sys
import unittest

from guests_box import BOX, NETWORK, Box, rules


class Addresses(Box):
    def setUp(self) -> None:
        super().setUp()
        self.guest("bad")

    def test_none_in_the_name_of_others(self) -> None:
        # Fewer than a station may ask for: it is not its number that stops them.
        self.assertEqual(self.act("bad", "starve", "5"), 0)
        self.assertEqual(len(self.act("bad", "join")), 1)

    def test_none_in_the_name_of_others_by_pieces(self) -> None:
        (address,) = self.act("bad", "join")
        self.assertEqual(self.act("bad", "starve_in_pieces", address, BOX, "5"), 0)

    def test_one_whatever_it_calls_itself(self) -> None:
        self.assertEqual(self.act("bad", "double", "5"), 1)

    def test_a_station_asks_now_and_then(self) -> None:
        self.act("bad", "starve", "100")
        self.assertEqual(self.act("bad", "join"), [])
        self.guest("good")
        self.assertEqual(len(self.act("good", "join")), 1)

    def test_nothing_for_another_network(self) -> None:
        self.run_in("ip", "-n", "bad", "address", "add", "10.42.0.77/16", "dev", "wlan0")
        self.assertEqual(self.act("bad", "relay", "10.42.0.77"), 0)
        self.assertEqual(self.act("bad", "relay", "0.0.0.0"), 1)

    def test_what_was_given_is_not_given_to_others_before_its_time(self) -> None:
        (address,) = self.act("bad", "give_back", BOX)
        # dnsmasq has seen what came before this.
        self.guest("good")
        self.act("good", "join")
        with open(f"{self.directory}/leases", encoding="ascii") as file:
            self.assertIn(f" {address} ", file.read())

    def test_no_name(self) -> None:
        self.act("bad", "join", "share")
        self.guest("good")
        self.act("good", "join")
        for name in ("share.clic.internal", "share"):
            answer = self.act("good", "resolve", name, BOX, module="guest")
            self.assertIn(answer["addresses"], ([BOX], ["198.51.100.1"]), name)


class Claims(Box):
    def setUp(self) -> None:
        super().setUp()
        self.guest("good")
        self.guest("bad")
        (self.address,) = self.act("good", "join")
        self.act("bad", "join")
        self.served()

    def served(self) -> None:
        answer = self.act("good", "resolve", "clic.internal", BOX, module="guest")
        self.assertEqual(answer["addresses"], [BOX])

    def test_nobody_has_another_guests_address(self) -> None:
        self.assertEqual(self.act("bad", "claim", self.address, BOX, "5"), 5)
        self.assertEqual(self.neighbours()[self.address], self.hardware("good"))
        self.served()

    def test_nobody_speaks_from_another_guests_address(self) -> None:
        self.run_in("ip", "-n", "bad", "address", "replace", f"{self.address}/16", "dev", "wlan0")
        self.run_in("ip", "-n", "bad", "route", "replace", BOX, "dev", "wlan0", "src", self.address)
        result = self.act("bad", "connect", BOX, "53", module="guest")["result"]
        self.assertIn(result, ("timed out", "[Errno 113] No route to host"))
        self.served()

    def test_what_was_given_outlives_that_the_rules_are_read_again(self) -> None:
        self.load(rules())
        self.test_nobody_has_another_guests_address()

    def test_an_address_of_ones_own_is_taken(self) -> None:
        self.guest("printer")
        self.run_in("ip", "-n", "printer", "address", "add", "10.42.0.7/16", "dev", "wlan0")
        answer = self.act("printer", "resolve", "clic.internal", BOX, module="guest")
        self.assertEqual(answer["addresses"], [BOX])

    def test_the_box_remembers_few_neighbours(self) -> None:
        self.act("bad", "call", BOX, NETWORK, "3000")
        self.assertLess(len(self.neighbours()), 8)
        self.served()


class Connections(Box):
    def setUp(self) -> None:
        super().setUp()
        listening = "import socket, time; s = socket.create_server(('10.42.0.1', 80), backlog=4096); time.sleep(100)"
        server = subprocess.Popen(self.words(sys.executable, "-c", listening), text=True)
        self.addCleanup(self.end, server)
        self.guest("bad")
        self.act("bad", "join")

    def test_a_station_has_its_share_whatever_its_addresses(self) -> None:
        held = self.act("bad", "hold_from", BOX, NETWORK, "40", "46")
        self.assertLessEqual(held, 64)
        self.assertGreater(held, 0)

    def test_all_at_once(self) -> None:
        self.guest("good")
        (address,) = self.act("good", "join")
        self.act("good", "resolve", "clic.internal", BOX, module="guest")
        got = self.act("bad", "all_at_once", BOX, NETWORK, address)
        self.assertEqual(got["addresses"], 0)
        self.assertGreater(got["connections"], 0)
        self.assertLessEqual(got["connections"], 64)
        self.assertEqual(self.neighbours()[address], self.hardware("good"))

    def test_nobody_answers_for_the_boxs_name(self) -> None:
        listening = (
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('10.42.0.1', 5353));"
            "print('ready', flush=True); print(s.recv(999)[2] >> 7, flush=True)"
        )
        listener = subprocess.Popen(self.words(sys.executable, "-c", listening), stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, listener)
        assert listener.stdout
        self.addCleanup(listener.stdout.close)
        self.assertEqual(listener.stdout.readline(), "ready\n")
        self.act("bad", "answer_unasked", BOX)
        # The first that comes is the question, which was sent last.
        self.assertEqual(listener.stdout.readline(), "0\n")

    def test_the_kernel_remembers_few(self) -> None:
        self.act("bad", "question", BOX, "5353", "1500")
        count = int(self.run_in("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))
        self.assertLess(count, 1000)


class AllRules(Box):
    def test_whatever_the_recipe_says_nft_takes_them(self) -> None:
        for number in range(8):
            self.load(rules(isolate=bool(number & 1), share_uplink=bool(number & 2), guests_reach_admin=bool(number & 4)))


if __name__ == "__main__":
    unittest.main()
