#include "support/conversation.hpp"

#include "base/text.hpp"
#include "support/contract_log.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>

namespace gateway::test {

namespace {

bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_value(char c) { return is_name(c) || (c >= '0' && c <= '9') || c == '-'; }

void add_line(std::string& to, const std::string& line)
{
    if (!to.empty())
        to += '\n';
    to += line;
}

// These are everybody's; golden files need not say them.
bool is_usual(std::string_view header)
{
    return header == "content-length" || header == "date" || header == "server" ||
           header == "connection" || header == "x-request-id" || header == "transfer-encoding";
}

} // namespace

std::vector<conversation::exchange> conversation::read(const std::string& golden)
{
    std::ifstream file(GATEWAY_SOURCE_DIR "/tests/api/golden/" + golden + ".txt");
    BOOST_REQUIRE_MESSAGE(file, "no golden file " << golden);
    std::vector<exchange> all;
    bool in_answer = true;
    std::string line;
    for (std::size_t number = 1; std::getline(file, line); ++number) {
        if (line.empty() || line.starts_with("#"))
            continue;
        const bool raw = line.starts_with(">!");
        if (line.starts_with(">") && in_answer) {
            all.emplace_back().line = number;
            in_answer = false;
            if (!raw) {
                const auto space = line.find(' ', 2);
                all.back().method = line.substr(2, space - 2);
                all.back().target = line.substr(space + 1);
                continue;
            }
        }
        auto& e = all.back();
        if (raw) {
            e.raw += (line.size() > 3 ? line.substr(3) : "") + "\r\n";
        } else if (line.starts_with("> ")) {
            e.headers += line.substr(2) + "\r\n";
        } else if (line.starts_with("< ") && !in_answer) {
            e.status = std::stoi(line.substr(2));
            in_answer = true;
        } else if (line.starts_with("< ")) {
            const auto colon = line.find(": ");
            e.answer_headers[to_lower(line.substr(2, colon - 2))] = line.substr(colon + 2);
        } else {
            add_line(in_answer ? e.answer_body : e.body, line);
        }
    }
    return all;
}

std::string conversation::fill(const std::string& text) const
{
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        if (text[at] != '$') {
            out += text[at++];
            continue;
        }
        auto end = at + 1;
        while (end < text.size() && is_name(text[end]))
            ++end;
        const auto known = vars.find(text.substr(at + 1, end - at - 1));
        out += known != vars.end() ? known->second : text.substr(at, end - at);
        at = end;
    }
    return out;
}

bool conversation::matches(const std::string& wanted, const std::string& got)
{
    std::size_t here = 0;
    if (wanted == "$$")
        return !got.empty();
    for (std::size_t at = 0; at < wanted.size();) {
        if (wanted[at] != '$') {
            if (here >= got.size() || wanted[at++] != got[here++])
                return false;
            continue;
        }
        auto end = at + 1;
        while (end < wanted.size() && is_name(wanted[end]))
            ++end;
        const auto name = wanted.substr(at + 1, end - at - 1);
        auto known = vars.find(name);
        if (known == vars.end()) {
            auto stop = here;
            while (stop < got.size() && is_value(got[stop]))
                ++stop;
            known = vars.emplace(name, got.substr(here, stop - here)).first;
        }
        if (got.compare(here, known->second.size(), known->second) != 0)
            return false;
        here += known->second.size();
        at = end;
    }
    return here == got.size();
}

void conversation::check(const exchange& e, const reply& r, const std::string& where)
{
    BOOST_CHECK_MESSAGE(r.status == e.status, where << ": status " << r.status << ", not "
                                                    << e.status << "\n  " << r.body);
    BOOST_CHECK_MESSAGE(!r.header("x-request-id").empty(), where << ": no X-Request-Id");
    auto wanted = e.answer_headers;
    if (!e.answer_body.empty())
        wanted.emplace("content-type", "application/json");
    for (const auto& [name, value] : r.headers) {
        const auto found = wanted.find(name);
        if (found == wanted.end()) {
            BOOST_CHECK_MESSAGE(is_usual(name), where << ": unexpected " << name << ": " << value);
            continue;
        }
        BOOST_CHECK_MESSAGE(matches(found->second, value),
                            where << ": " << name << ": " << value << ", not " << found->second);
        wanted.erase(found);
    }
    for (const auto& [name, value] : wanted)
        BOOST_CHECK_MESSAGE(false, where << ": missing " << name << ": " << value);
    BOOST_CHECK_MESSAGE(matches(e.answer_body, r.body),
                        where << ":\n  wanted " << e.answer_body << "\n  got    " << r.body);
}

void conversation::play(const std::string& golden, const std::function<void()>& meanwhile)
{
    for (const auto& e : read(golden)) {
        const auto where = golden + ":" + std::to_string(e.line);
        auto bytes = fill(e.raw);
        if (bytes.empty())
            bytes = http_request(e.method, fill(e.target), fill(e.body), fill(e.headers));
        const auto connection = front_.send(std::move(bytes));
        if (meanwhile)
            meanwhile();
        std::optional<reply> got;
        const auto answered = [&] {
            auto written = connection->written();
            got = parse_reply(written, e.method == "HEAD");
            return got.has_value();
        };
        BOOST_REQUIRE_MESSAGE(front_.run_until(answered, std::chrono::minutes(10)), where);
        connection->ends();
        front_.settle();
        check(e, *got, where);
        keep_answer("contract", golden + "-" + std::to_string(e.line), e.method, fill(e.target),
                    *got);
    }
}

} // namespace gateway::test
