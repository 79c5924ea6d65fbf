#include "api/model_events.hpp"

#include "proto/model_view.hpp"

#include <algorithm>

namespace gateway::api {

namespace {
constexpr auto heartbeat = std::chrono::seconds(15);
// Progress moves without a change of state, so it is looked at this often.
constexpr auto look_interval = std::chrono::milliseconds(500);

std::string path_of(const core::model_status& model)
{
    return std::string(core::to_text(model.kind)) + '/' + model.name;
}

bool is_on_its_way(const core::model_status& model)
{
    return model.state != "present" && model.state != "failed";
}
} // namespace

model_events::model_events(parts with, std::optional<core::model_kind> kind, std::string name)
    : with_(std::move(with)), kind_(kind), name_(std::move(name)), spoke_(with_.time.now())
{
    text_ = "retry: 2000\n\n";
}

bool model_events::shows(const core::model_status& model) const
{
    return (!kind_ || model.kind == *kind_) && (name_.empty() || model.name == name_);
}

void model_events::say(std::string_view event, const std::string& data)
{
    text_ += "id: " + std::to_string(next_id_++) + "\nevent: " + std::string(event) +
             "\ndata: " + data + "\n\n";
    spoke_ = with_.time.now();
}

void model_events::look()
{
    std::map<std::string, std::string> now;
    bool any_on_its_way = false;
    for (const auto& model : with_.library.files()) {
        if (!shows(model))
            continue;
        auto body = proto::model_body(model);
        const auto path = path_of(model);
        const auto told = told_.find(path);
        const bool is_news = told != told_.end() ? told->second != body
                                                 : begun_ || is_on_its_way(model) || !name_.empty();
        if (is_news)
            say("model", body);
        any_on_its_way = any_on_its_way || is_on_its_way(model);
        now.emplace(path, std::move(body));
    }
    for (const auto& [path, body] : told_) {
        if (!now.contains(path))
            say("gone", body);
    }
    told_ = std::move(now);
    begun_ = true;
    over_ = !*with_.holding || (!name_.empty() && !any_on_its_way);
    if (text_.empty() && with_.time.now() - spoke_ >= heartbeat) {
        text_ = ": still here\n\n";
        spoke_ = with_.time.now();
    }
}

net::task<result<std::size_t>> model_events::read(std::span<char> into)
{
    while (text_.empty() && !over_) {
        const auto seen = with_.changes.current();
        look();
        if (!text_.empty() || over_)
            break;
        const bool moved =
            co_await with_.changes.past(seen, with_.time, with_.time.now() + look_interval);
        (void)moved;
        const bool stopped = co_await net::cancelled();
        over_ = over_ || stopped;
    }
    const auto n = std::min(into.size(), text_.size());
    std::copy_n(text_.begin(), n, into.begin());
    text_.erase(0, n);
    co_return n;
}

} // namespace gateway::api
