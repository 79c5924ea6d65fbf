// What a file is by its first bytes, and its end: all of it is judged before it gets its name
// (downloads.md §3.7, §4.3–4.5).

#include "base/text.hpp"
#include "proto/safetensors.hpp"
#include "work/transfer.hpp"

#include <algorithm>

namespace gateway::work {

namespace {

constexpr std::uint64_t quickly_parsed = 64 * 1024; // a larger header is parsed beside the loop

// `given` may be the first digits only.
bool same_hash(std::string_view given, std::string_view whole)
{
    return given.empty() || whole.starts_with(given);
}

bool is_pickle(proto::file_kind kind)
{
    return kind == proto::file_kind::zip || kind == proto::file_kind::pickle;
}

net::task<proto::safetensors_check> check_header(std::string head, net::lane& slow)
{
    auto work = [&head] { return proto::check_safetensors(head); };
    if (head.size() <= quickly_parsed)
        co_return work();
    co_return co_await slow.run(std::move(work));
}

} // namespace

// Empty while nothing is wrong; extension_ is set once it is known what it is.
net::task<std::string> transfer::look_at_format()
{
    while (writer_ && extension_.empty()) {
        const auto size = machine_.size();
        const auto wanted = std::min(format_needs_, size.value_or(format_needs_));
        if (writer_->frontier() < wanted)
            co_return std::string();
        auto head = co_await uses_.files.read(writer_->part(), 0, wanted);
        if (!head) {
            failed({"it cannot be read back: " + head.error().message(), false});
            co_return std::string();
        }
        const auto kind = proto::sniff_file(*head);
        if (is_pickle(kind) && options_.allow_pickle) {
            extension_ = order_.file.kind == core::model_kind::checkpoint ? ".ckpt" : ".pt";
            break;
        }
        if (kind != proto::file_kind::safetensors)
            co_return std::string(proto::explain(kind)) +
                (is_pickle(kind) ? " (download.allow_pickle would allow it)" : "");
        const auto check = co_await check_header(std::move(*head), uses_.files.slow_lane());
        switch (check.result) {
        case proto::safetensors_check::state::invalid: co_return "not safetensors: " + check.error;
        case proto::safetensors_check::state::need_more:
            if (wanted < format_needs_)
                co_return std::string("the file ends inside its header");
            format_needs_ = std::max(check.need, format_needs_ + 1);
            break;
        case proto::safetensors_check::state::valid:
            // A wrong file is known now, and not after its last gigabyte (downloads.md §4.4).
            if (size && *size != check.total_size)
                co_return "its header speaks of " + std::to_string(check.total_size) +
                    " bytes, it has " + std::to_string(*size);
            if (size)
                extension_ = ".safetensors";
            else
                format_needs_ = check.total_size; // its size is known at its end
            break;
        }
    }
    co_return std::string();
}

// Nothing when it must be fetched again, or has failed: the machine knows why.
net::task<std::optional<fetch_result>> transfer::finish()
{
    std::string wrong = "the file is empty";
    if (writer_)
        wrong = co_await look_at_format();
    if (disk_)
        co_return std::nullopt;
    if (wrong.empty() && extension_.empty())
        wrong = "the file ends inside its header";
    if (!wrong.empty()) {
        machine_.fail({std::move(wrong), true});
        co_return std::nullopt;
    }
    const auto hashed = co_await writer_->sha256();
    if (!hashed) {
        failed({"it cannot be read back: " + hashed.error().message(), false});
        co_return std::nullopt;
    }
    const auto& sum = *hashed;
    if (!same_hash(order_.file.sha256, sum)) {
        machine_.fail({"its sha256 is " + sum + ", the job says " + order_.file.sha256, true});
        co_return std::nullopt;
    }
    if (order_.file.sha256.empty() && !same_hash(facts_.sha256, sum)) {
        machine_.on_wrong_content("its sha256 is " + sum + ", its source says " + facts_.sha256);
        co_return std::nullopt;
    }
    const auto name = order_.file.name + extension_;
    const auto published = co_await writer_->publish(name);
    if (!published) {
        failed(published.error());
        co_return std::nullopt;
    }
    const auto size = writer_->size();
    fetch_result done(boost::system::in_place_value, fetched_file{name, size, sum});
    co_return done;
}

} // namespace gateway::work
