#include "api/batch_body.hpp"

#include "base/text.hpp"
#include "proto/job_id.hpp"
#include "proto/native.hpp"

#include <algorithm>

namespace gateway::api {

namespace {
constexpr std::size_t piece_size = std::size_t{64} * 1024;
} // namespace

batch_body::batch_body(parts with, submission_facts facts, std::uint64_t line_limit)
    : with_(std::move(with)), facts_(std::move(facts)), line_limit_(line_limit), piece_(piece_size)
{
}

net::task<result<std::size_t>> batch_body::read(std::span<char> into)
{
    while (given_ == ready_.size()) {
        ready_.clear();
        given_ = 0;
        const auto ec = co_await gather();
        if (ec)
            co_return ec; // the client has gone; what was answered is kept
        if (lines_.empty())
            co_return std::size_t{0};
        co_await answer_window();
    }
    const auto n = std::min(ready_.size() - given_, into.size());
    ready_.copy(into.data(), n, given_);
    given_ += n;
    co_return n;
}

// Until there is at least one whole line, or no more will come. What is there already goes into the
// same window.
net::task<error_code> batch_body::gather()
{
    const auto wants_more = [this] {
        return lines_.empty() || (lines_.size() < window && with_.client.connection->pending());
    };
    while (!complete_ && wants_more()) {
        const std::span<char> room(piece_);
        const auto n = co_await with_.client.incoming->read(room);
        if (!n && lines_.empty())
            co_return n.error();
        if (!n)
            break; // the next read says so again
        split({piece_.data(), *n});
        if (*n == 0) {
            complete_ = true;
            end_line(); // the last one needs no line break
        }
    }
    co_return error_code{};
}

void batch_body::split(std::string_view bytes)
{
    while (!bytes.empty()) {
        const auto end = bytes.find('\n');
        const auto part = bytes.substr(0, end);
        current_.too_long = current_.too_long || current_.text.size() + part.size() > line_limit_;
        if (current_.too_long)
            current_.text = {};
        else
            current_.text += part;
        if (end == std::string_view::npos)
            return;
        end_line();
        bytes.remove_prefix(end + 1);
    }
}

// Empty lines are counted and nothing else.
void batch_body::end_line()
{
    const auto next = current_.number + 1;
    if (current_.too_long || !trim(current_.text).empty())
        lines_.push_back(std::move(current_));
    current_ = {next, {}, false};
}

net::task<> batch_body::answer_window()
{
    std::vector<line> taken;
    intake::texts texts;
    for (; !lines_.empty() && taken.size() < window; lines_.pop_front()) {
        texts.push_back(std::move(lines_.front().text));
        taken.push_back(std::move(lines_.front()));
    }
    auto readings = co_await with_.intake.read(std::move(texts), facts_);
    for (std::size_t i = 0; i < taken.size(); ++i) {
        if (taken[i].too_long)
            readings[i] = proto::body_over_limit(line_limit_);
    }

    std::vector<jobs::submission> good;
    for (auto& r : readings) {
        if (r)
            good.push_back(std::move(*r));
    }
    const auto answers = co_await with_.jobs.submit(std::move(good));
    auto answer = answers.begin();
    for (std::size_t i = 0; i < readings.size(); ++i) {
        if (!readings[i])
            proto::append_batch_line(ready_, taken[i].number, readings[i].error());
        else if (const auto& a = *answer++; a)
            proto::append_batch_line(ready_, taken[i].number,
                                     proto::to_text({a->job.key, a->job.secret, a->job.sync}),
                                     a->replayed);
        else
            proto::append_batch_line(ready_, taken[i].number, problem_of(a.error()));
    }
    if (!*with_.open) { // the gateway stops: this is all it says
        lines_.clear();
        complete_ = true;
    }
}

} // namespace gateway::api
