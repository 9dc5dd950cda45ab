import unittest

from clic.portal import wifi_code


class Text(unittest.TestCase):
    def test_open(self) -> None:
        self.assertEqual(wifi_code.text("CLIC-3F2A", "open"), "WIFI:T:nopass;S:CLIC-3F2A;;")

    def test_hidden_with_passphrase(self) -> None:
        code = wifi_code.text('CLIC; "été"', "wpa", True, "a\\b:c,d12")
        self.assertEqual(code, r'WIFI:T:WPA;S:CLIC\; \"été\";P:a\\b\:c\,d12;H:true;;')

    def test_passphrase_that_is_not_for_everybody(self) -> None:
        self.assertIsNone(wifi_code.text("CLIC", "wpa"))
        self.assertIsNone(wifi_code.text("CLIC", "wpa", False, ""))

    def test_a_passphrase_is_no_part_of_an_open_wifi(self) -> None:
        self.assertNotIn("secret", wifi_code.text("CLIC", "open", False, "secret123") or self.fail("no code"))


if __name__ == "__main__":
    unittest.main()
