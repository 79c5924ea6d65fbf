#pragma once

// Plays the conversations in tests/api/golden/: requests as written there, and the answers that
// must come back, byte for byte. What was answered is kept for validate_responses.py.
//
//     # why
//     > POST /v2/local/run                 a request; "> Name: value" lines add headers,
//     {"input":{"prompt":"a cat"}}         other lines are its body
//     < 200                                the answer; "< Name: value" lines are all its headers
//     {"id":"$id","status":"IN_QUEUE"}     beside the usual ones, other lines its body
//
// $name is replaced when it has a value. In an answer, a name without one takes what stands there;
// the body $$ is any but none.
// ">! " lines are sent as they are, with CRLF.

#include "support/front.hpp"

#include <map>

namespace gateway::test {

class conversation {
public:
    explicit conversation(front& with) : front_(with) {}
    // Plays the file, and fails the test where an answer differs. `meanwhile` happens after each
    // request has been sent and before its answer is waited for.
    void play(const std::string& golden, const std::function<void()>& meanwhile = {});

    std::map<std::string, std::string> vars;

private:
    struct exchange {
        std::size_t line = 0;
        std::string method, target, headers, body;
        std::string raw; // instead of all of those
        int status = 0;
        std::map<std::string, std::string> answer_headers; // names in lower case
        std::string answer_body;
    };
    static std::vector<exchange> read(const std::string& golden);
    std::string fill(const std::string& text) const;
    bool matches(const std::string& wanted, const std::string& got);
    void check(const exchange& e, const reply& r, const std::string& where);

    front& front_;
};

} // namespace gateway::test
