#include "work/exchange.hpp"

#include <array>

namespace gateway::work {

namespace {

constexpr std::size_t error_body_limit = 64 * 1024;
constexpr std::size_t chunk_size = 64 * 1024;

// A failure before a whole reply: did anything run?
exchange_report failed(const net::failure& f)
{
    exchange_report r;
    r.reason = f.what;
    if (f.phase == net::phase::resolving || f.phase == net::phase::connecting)
        r.what = core::outcome::unreachable;
    else if (f.nothing_sent)
        r.what = core::outcome::reset_unsent;
    else
        r.lost = true;
    return r;
}

exchange_report not_stored(const error_code& ec)
{
    exchange_report r;
    r.what = core::outcome::storage_failed;
    r.reason = "the result could not be written to the spool: " + ec.message();
    return r;
}

// The part of a path that people know: "txt2img", "extra-single-image".
std::string_view name_of(const proto::webui_route& route)
{
    const std::string_view path = route.path;
    constexpr std::string_view prefix = "/sdapi/v1/";
    return path.starts_with(prefix) ? path.substr(prefix.size()) : path;
}

// A route that this WebUI never had is the job's mistake; when txt2img is gone, too, the WebUI has
// lost its API.
net::task<bool> has_api(webui& to)
{
    constexpr auto limit = std::chrono::seconds(30);
    const auto probe = co_await to.get("/sdapi/v1/txt2img", limit);
    co_return probe&& proto::classify_route_probe(probe->head.status, probe->body) ==
        proto::route_probe::present;
}

net::task<exchange_report> read_refusal(net::reply_stream& reply, webui& to,
                                        const exchange_order& order)
{
    std::string body;
    std::array<char, 4096> piece{};
    while (body.size() < error_body_limit) {
        const std::span<char> into(piece);
        const auto n = co_await reply.read(into);
        if (!n)
            co_return failed(n.error());
        if (*n == 0)
            break;
        body.append(piece.data(), *n);
    }
    proto::reply_facts facts;
    facts.status = reply.head().status;
    facts.content_type = reply.head().header("content-type");
    facts.body = body;
    facts.route = name_of(order.route);
    facts.from = order.expected.from;
    auto verdict = proto::classify(facts);
    exchange_report r;
    r.what = verdict.what;
    r.reason = std::move(verdict.reason);
    if (!order.any_json || r.what != core::outcome::route_missing)
        co_return r;
    const bool alive = co_await has_api(to);
    if (alive) {
        r.what = core::outcome::rejected;
        r.reason = "this WebUI has no route " + order.route.path;
    }
    co_return r;
}

// What the finished reply says. Nothing is kept unless it is done.
exchange_report judge(const net::reply_head& head, std::string_view start,
                      const proto::result_scan& scan, const exchange_order& order)
{
    proto::reply_facts facts;
    facts.status = head.status;
    facts.content_type = head.header("content-type");
    facts.body = start;
    facts.scan = &scan;
    facts.route = name_of(order.route);
    facts.from = order.expected.from;
    facts.wants_images = order.wants_images;
    facts.any_json = order.any_json;
    auto verdict = proto::classify(facts);
    exchange_report r;
    r.what = verdict.what;
    r.reason = std::move(verdict.reason);
    r.reply = scan.summary();
    if (r.what != core::outcome::done || order.any_json || !r.reply.info)
        return r;
    auto checked = proto::verify_info(*r.reply.info, order.expected);
    if (!checked.ok) {
        r.what = core::outcome::wrong_model;
        r.reason = std::move(checked.reason);
    }
    r.notes = std::move(checked.notes);
    const auto info = proto::parse_info(*r.reply.info);
    if (info)
        r.model_loaded = info->model_name;
    return r;
}

net::task<exchange_report> store_reply(net::reply_stream& reply, store::spool& spool,
                                       exchange_order order)
{
    auto writer = co_await spool.create(order.file);
    if (!writer)
        co_return not_stored(writer.error());
    proto::result_scan scan;
    std::string start; // for messages when it is not JSON at all
    std::vector<char> piece(chunk_size);
    bool readable = true;
    for (;;) {
        const std::span<char> into(piece);
        const auto n = co_await reply.read(into);
        if (!n)
            co_return failed(n.error());
        if (*n == 0)
            break;
        const std::string_view bytes(piece.data(), *n);
        if (start.size() < 1024)
            start.append(bytes.substr(0, 1024));
        readable = scan.feed(bytes);
        if (!readable)
            break;
        const auto ec = co_await writer->append(bytes);
        if (ec)
            co_return not_stored(ec);
    }
    if (readable)
        scan.finish();
    auto report = judge(reply.head(), start, scan, order);
    if (report.what != core::outcome::done)
        co_return report;
    auto file = co_await writer->finish();
    if (!file)
        co_return not_stored(file.error());
    report.file = std::move(*file);
    co_return report;
}

} // namespace

net::task<exchange_report> exchange(webui& to, store::spool& spool, exchange_order order)
{
    auto body = std::move(order.body);
    auto route = order.route;
    auto opened = co_await to.generate(std::move(route), std::move(body), order.limit);
    if (!opened)
        co_return failed(opened.error());
    auto& reply = **opened;
    if (reply.head().status != 200)
        co_return co_await read_refusal(reply, to, order);
    co_return co_await store_reply(reply, spool, std::move(order));
}

} // namespace gateway::work
