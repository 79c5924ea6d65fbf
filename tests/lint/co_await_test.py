"""The co_await check says yes to every shape measured safe on GCC 12.2 and no to every one that was not."""

import unittest

import co_await
import source

GOOD = r"""
co_await f(a);
co_await f();
co_await std::move(work);
co_await group.join();
co_await (*this)->next();
auto x = co_await f(a);
const auto ex = co_await current_executor();
const bool ok = co_await past(seen, time, time.now() + patience);
auto [ec, n] = co_await f(a);
const auto& [ec, n] = co_await f(a);
std::optional<std::vector<int>> x = co_await f(a);
x = co_await f(a);
job.state = co_await f(a);
this->x_ = co_await f(a);
co_return co_await f(std::move(a));
co_await asio::async_initiate<decltype(token), void()>(std::move(start), token);
auto r = co_await lane_.run<answer>(std::move(work));
co_await f(a[1], b->c, "a { string } ? with braces");
co_await f('?', R"({ "raw": ? })", 1'000'000);
if (ready) co_await f(a);
if (ready) co_await f(a); else co_await g(a);
for (const auto& item : items) co_await f(item);
for (;;) { auto item = co_await box.next(); if (!item) co_return; }
while (more) { co_await f(a); }
do { co_await f(a); } while (more);
try { co_await f(a); } catch (const std::exception& failure) { log(failure); }
switch (state) { case state::idle: co_await f(a); break; case state::busy: { co_await g(a); break; } }
if (const auto found = find(a); found != end) { co_await f(*found); }
{ std::vector<int> list{1, 2, 3}; co_await f(std::move(list)); }
auto work = [&where] { where = 1; return 42; }; co_await lane.run(std::move(work));
// if (co_await f(a)) in a comment
/* co_await f({1}); */ co_await f(a);
auto start = [](world& w) -> task<> { co_await w.f(); };
auto start = [](world& w) -> net::task<std::optional<int>> { co_return co_await w.f(); };
point p{1, 2}; co_await f(p);
co_await f(ctor("x" + s));
co_await f(make(), h.get(), &here, *there, a + b, a < b);
"""

BAD = r"""
if (co_await f(a)) g();
if (!co_await f(a)) { g(); }
if constexpr (co_await f(a)) g();
if (auto x = co_await f(a)) g();
if (auto x = co_await f(a); x) g();
if (prepare(); co_await f(a)) g();
while (co_await f(a)) g();
while (!(co_await f(a))) {}
do { g(); } while (co_await f(a));
switch (co_await f(a)) { default: break; }
for (auto& x : co_await f(a)) g(x);
for (auto x = co_await f(a); x; ) g();
for (;;) { if (!co_await x()) break; }
g(co_await f(a));
g(1, co_await f(a), 2);
BOOST_TEST(co_await f(a));
x = (co_await f(a)).value();
auto n = (co_await f(a)) + 1;
auto n = co_await f(a) + 1;
auto n = 1 + co_await f(a);
auto ok = co_await f(a) && co_await g(a);
auto ok = co_await f(a) == 3;
auto ok = co_await f(a) < 3;
auto x = co_await f(a) ? 1 : 2;
auto x = ready ? co_await f(a) : 2;
auto x = ready ? 2 : co_await f(a);
co_return ready ? co_await f(a) : 2;
co_await f(ready ? a : b);
co_await f(co_await g(a));
co_await f({a, b});
co_await f({.a = 1});
co_await f(point{1, 2});
co_await f(aggregate("a", 1));
co_await f([x] { return x; });
co_await f([](int x) { return x; });
co_await f([&]() mutable -> int { return 1; });
co_await co_spawn(ex, [x]() -> task<> { co_return; });
T x{co_await f(a)};
T x{.a = co_await f(a)};
auto x = T{co_await f(a)};
auto x = std::vector<int>{co_await f(a)};
co_return {co_await f(a), 1};
co_return T{1, co_await f(a)};
return_value({co_await f(a)});
x[co_await f(a)] = 1;
x[1] = co_await f(a);
g() = co_await f(a);
x += co_await f(a);
a = b = co_await f(a);
throw co_await f(a);
auto work = [x]() -> task<> { co_await f(x); };
auto work = [&]() -> task<> { co_return; };
auto work = [this](auto y) mutable noexcept -> net::task<int> { const auto r = co_await f(y); co_return r; };
spawn([self = shared_from_this()]() -> task<> { co_await self->run(); }());
"""

STRUCTS = "struct aggregate { std::string a; int b; }; struct ctor { ctor(std::string); }; struct named;"


def statements(text):
    return [line for line in text.splitlines() if line.strip()]


def problems(statement):
    text = "task<> body(int a)\n{\n    " + statement + "\n}\n"
    return co_await.check("x.cpp", text, co_await.aggregate_names([STRUCTS]))


class CoAwait(unittest.TestCase):
    def test_the_safe_shapes_pass(self):
        for statement in statements(GOOD):
            with self.subTest(statement):
                self.assertEqual([str(p) for p in problems(statement)], [])

    def test_every_other_shape_is_found(self):
        for statement in statements(BAD):
            with self.subTest(statement):
                self.assertTrue(problems(statement))

    def test_a_problem_names_its_line(self):
        text = "task<> f()\n{\n    // a comment\n    g(co_await h());\n}\n"

        self.assertEqual([p.line for p in co_await.check("x.cpp", text)], [4])

    def test_only_structs_without_constructors_are_aggregates(self):
        self.assertEqual(co_await.aggregate_names([STRUCTS]), {"aggregate"})


class Source(unittest.TestCase):
    def test_comments_literals_and_directives_are_no_code(self):
        text = '#include "a{b"\n// {\nint x = 1\'000; /* { */ auto s = R"x({")x"; char c = \'{\';\n'

        words = [token.text for token in source.tokens(text)]

        self.assertNotIn("{", words)
        self.assertEqual(words[:5], ["int", "x", "=", "0", ";"])

    def test_lines_survive_comments_over_several_lines(self):
        self.assertEqual(source.tokens("/* a\n b\n */ x")[0].line, 3)
        self.assertEqual(source.without_comments("/* a\n b */ x // y\nz"), "\n x \nz")


if __name__ == "__main__":
    unittest.main()
