#include "core/delivery.hpp"

#include <algorithm>
#include <utility>

namespace gateway::core {

namespace {

// Of a receiver's messages, how many are looked at in one turn for being too old.
constexpr std::size_t old_ones_looked_at = 256;

duration longer(duration d, double share)
{
    return d + duration(static_cast<duration::rep>(static_cast<double>(d.count()) * share));
}

bool is_success(int status) { return status >= 200 && status < 300; }

// The receiver as a whole is in trouble; any other answer shows that somebody is there.
bool is_trouble(int status)
{
    return status == 0 || status == 408 || status == 429 || status >= 500;
}

} // namespace

std::string_view to_text(delivery_state state)
{
    switch (state) {
    case delivery_state::pending: return "pending";
    case delivery_state::delivered: return "delivered";
    case delivery_state::given_up: return "given_up";
    case delivery_state::gone: return "gone";
    }
    return "given_up";
}

duration delivery_limits::whole() const
{
    duration sum{};
    for (const auto wait : schedule)
        sum += longer(wait, jitter);
    return sum + longest_breaker_pause;
}

// --- messages ---

void delivery_queue::add(message m)
{
    const auto [place, is_new] = messages_.try_emplace(m.id);
    if (!is_new)
        return;
    auto& e = place->second;
    e.to = &host_of(m.host);
    ++e.to->known;
    e.tries = m.tries;
    e.opened = m.opened;
    opened_.insert(e.opened);
    wait(place, m.due);
}

bool delivery_queue::hurry(message_id id, steady_time now)
{
    const auto m = messages_.find(id);
    if (m == messages_.end())
        return false;
    if (m->second.under_way)
        return true;
    auto& e = m->second;
    e.to->waiting.erase({e.due, id});
    // Before all others, so that a breaker lets this one through.
    const auto first = e.to->waiting.empty() ? now : e.to->waiting.begin()->first;
    e.to->opens_at = std::min(e.to->opens_at, now);
    wait(m, std::min(first, now) - duration(1));
    return true;
}

void delivery_queue::forget(message_id id)
{
    const auto m = messages_.find(id);
    if (m != messages_.end())
        remove(m);
}

void delivery_queue::postpone(message_id id, steady_time until)
{
    const auto m = messages_.find(id);
    if (m != messages_.end())
        wait(m, until);
}

void delivery_queue::wait(messages::iterator m, steady_time due)
{
    auto& e = m->second;
    if (std::exchange(e.under_way, false)) {
        --e.to->under_way;
        --under_way_;
    }
    e.due = due;
    e.to->waiting.emplace(due, m->first);
    plan(*e.to);
}

void delivery_queue::remove(messages::iterator m)
{
    auto& e = m->second;
    auto& h = *e.to;
    if (e.under_way) {
        --h.under_way;
        --under_way_;
    } else {
        h.waiting.erase({e.due, m->first});
    }
    opened_.erase(opened_.find(e.opened));
    --h.known;
    messages_.erase(m);
    plan(h);
    if (h.known > 0)
        return;
    if (h.open)
        --open_breakers_;
    hosts_.erase(h.name);
}

std::optional<steady_time> delivery_queue::oldest() const
{
    if (opened_.empty())
        return std::nullopt;
    return *opened_.begin();
}

// --- receivers ---

delivery_queue::host& delivery_queue::host_of(const std::string& name)
{
    const auto [place, is_new] = hosts_.try_emplace(name);
    if (is_new)
        place->second.name = name;
    return place->second;
}

// Puts the receiver where it belongs in the agenda; one that can take nothing has no place there.
void delivery_queue::plan(host& h)
{
    if (h.agenda)
        agenda_.erase(*h.agenda);
    h.agenda.reset();
    const auto most = h.open ? 1 : allowed_.at_once_per_host;
    if (h.waiting.empty() || h.under_way >= most)
        return;
    h.agenda = *h.waiting.begin();
    if (h.open)
        h.agenda->first = std::max(h.agenda->first, h.opens_at);
    agenda_.emplace(*h.agenda, &h);
}

delivery_queue::breaker_change delivery_queue::judge(host& h, const delivery_reply& reply,
                                                     steady_time now)
{
    if (reply.ours)
        return breaker_change::none;
    if (!is_trouble(reply.status)) {
        h.failures = 0;
        h.pauses = 0;
        if (!std::exchange(h.open, false))
            return breaker_change::none;
        --open_breakers_;
        return breaker_change::closed;
    }
    ++h.failures;
    // What was under way already when the breaker opened says nothing new.
    if (h.failures < allowed_.breaker_after || (h.open && now < h.opens_at))
        return breaker_change::none;
    auto pause = allowed_.breaker_pause;
    for (int i = 0; i < h.pauses && pause < allowed_.longest_breaker_pause; ++i)
        pause *= 2;
    ++h.pauses;
    h.opens_at = now + std::min(pause, allowed_.longest_breaker_pause);
    give_up_old(h, now);
    if (std::exchange(h.open, true))
        return breaker_change::none;
    ++open_breakers_;
    return breaker_change::opened;
}

bool delivery_queue::is_over(const entry& e, steady_time now) const
{
    return e.opened + allowed_.whole() <= now;
}

// Messages that an open breaker holds back do not use up their tries, so their time must end them.
void delivery_queue::give_up_old(host& h, steady_time now)
{
    std::vector<message_id> old;
    std::size_t looked_at = 0;
    for (const auto& [due, id] : h.waiting) {
        if (due > now || ++looked_at > old_ones_looked_at)
            break;
        const auto& e = messages_.at(id);
        if (!is_over(e, now))
            continue;
        given_up_.push_back({id, step::kind::give_up, e.tries});
        old.push_back(id);
    }
    for (const auto id : old)
        remove(messages_.find(id)); // the one under way keeps its receiver known
}

// --- what to do ---

std::optional<delivery_queue::step> delivery_queue::next(steady_time now)
{
    if (!given_up_.empty()) {
        const auto s = given_up_.back();
        given_up_.pop_back();
        return s;
    }
    if (under_way_ >= allowed_.at_once || agenda_.empty() || agenda_.begin()->first.first > now)
        return std::nullopt;
    auto& h = *agenda_.begin()->second;
    const auto id = h.waiting.begin()->second;
    auto& e = messages_.at(id);
    h.waiting.erase(h.waiting.begin());
    e.under_way = true;
    ++h.under_way;
    ++under_way_;
    plan(h);
    return step{id, step::kind::send, e.tries};
}

std::optional<steady_time> delivery_queue::next_due() const
{
    if (!given_up_.empty())
        return steady_time::min();
    if (under_way_ >= allowed_.at_once || agenda_.empty())
        return std::nullopt;
    return agenda_.begin()->first.first;
}

std::optional<delivery_queue::decision>
delivery_queue::ended(message_id id, const delivery_reply& reply, steady_time now, double random)
{
    const auto m = messages_.find(id);
    if (m == messages_.end() || !m->second.under_way)
        return std::nullopt;
    auto& e = m->second;
    decision d;
    d.tries = ++e.tries;
    d.breaker = judge(*e.to, reply, now);
    if (d.breaker == breaker_change::opened)
        d.breaker_pause = e.to->opens_at - now;
    if (is_success(reply.status))
        d.state = delivery_state::delivered;
    else if (reply.status == 410)
        d.state = delivery_state::gone;
    else if (e.tries >= allowed_.schedule.size())
        d.state = delivery_state::given_up;
    if (d.state != delivery_state::pending) {
        remove(m);
        return d;
    }
    d.wait = longer(allowed_.schedule[e.tries], allowed_.jitter * random);
    if (reply.retry_after)
        d.wait = std::max(d.wait, std::min(*reply.retry_after, allowed_.longest_asked));
    wait(m, now + d.wait);
    return d;
}

} // namespace gateway::core
