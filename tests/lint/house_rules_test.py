"""Each house rule is seen to fail once, and to leave alone what only looks like it."""

import unittest

import house_rules


def problems(path, text):
    return [p.message for p in house_rules.check(path, text)]


class HouseRules(unittest.TestCase):
    def test_what_code_may_not_do(self):
        for line in ("std::this_thread::sleep_for(1s);", "usleep(3);", "worker.detach();",
                     "co_spawn(ex, f(), asio::detached);", "auto now = std::chrono::steady_clock::now();",
                     "try { f(); } catch (...) { }", "using namespace std;"):
            with self.subTest(line):
                self.assertEqual(len(problems("gateway/work/x.cpp", f"void f()\n{{\n{line}\n}}\n")), 1)

    def test_what_only_looks_like_it(self):
        for line in ("// std::this_thread::sleep_for(1s)", 'log("usleep(3)");', "time.sleep_for(1s);",
                     "worker.detached();", "catch (...) { failure = std::current_exception(); }",
                     "using namespace std::chrono_literals;"):
            with self.subTest(line):
                self.assertEqual(problems("gateway/work/x.cpp", f"void f()\n{{\n{line}\n}}\n"), [])

    def test_the_clock_is_read_where_time_comes_from(self):
        line = "return std::chrono::steady_clock::now();"

        self.assertEqual(problems("gateway/net/async.hpp", "#pragma once\n" + line), [])

    def test_headers_are_guarded_and_open_no_namespace(self):
        self.assertEqual(problems("gateway/core/x.hpp", "#pragma once\nint f();\n"), [])
        self.assertEqual(problems("tests/support/x.hpp", "#pragma once\nusing namespace std::chrono_literals;\n"), [])
        self.assertEqual(len(problems("gateway/core/x.hpp", "int f();\n")), 1)
        self.assertEqual(len(problems("gateway/core/x.hpp", "#pragma once\nusing namespace gateway;\n")), 1)

    def test_a_suite_is_named_after_its_file(self):
        for text, right in (("BOOST_AUTO_TEST_SUITE(retry_)\n", True),
                            ("BOOST_FIXTURE_TEST_SUITE(retry_, world)\n", True),
                            ("BOOST_AUTO_TEST_SUITE(retries_)\n", False),
                            ("BOOST_AUTO_TEST_SUITE(retry_)\nBOOST_AUTO_TEST_SUITE(more_)\n", False),
                            ("BOOST_AUTO_TEST_CASE(x)\n", False)):
            self.assertEqual(problems("tests/core/retry_test.cpp", text) == [], right, text)

    def test_nothing_is_left_open(self):
        for word in ("TODO", "FIXME", "XXX", "HACK"):
            self.assertEqual(len(problems("deploy/x.sh", f"# {word}: later\n")), 1)
        self.assertEqual(problems("deploy/x.sh", "todos=3\n"), [])

    def test_the_top_level_stays_as_agreed(self):
        agreed = ["README.md", "gateway/main.cpp", ".ci/run", ".clang-format"]

        self.assertEqual(list(house_rules.top_level_problems(agreed)), [])
        self.assertEqual(len(list(house_rules.top_level_problems([*agreed, "scripts/x", "NOTES.md", ".env"]))), 3)


if __name__ == "__main__":
    unittest.main()
