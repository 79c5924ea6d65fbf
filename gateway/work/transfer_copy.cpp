// A file that is on this machine already, for transfer: read through like any other, so that the
// same rules hold for it.

#include "work/transfer.hpp"

#include <algorithm>

namespace gateway::work {

namespace {

constexpr std::size_t piece_size = std::size_t{1} << 20;

bool lies_in(const std::string& path, std::string folder)
{
    if (!folder.ends_with('/'))
        folder += '/';
    return path.starts_with(folder);
}

} // namespace

net::task<> transfer::copy()
{
    const auto path = proto::local_path(from_);
    const auto& folders = options_.allow_folders;
    if (std::none_of(folders.begin(), folders.end(),
                     [&path](const auto& folder) { return lies_in(path, folder); })) {
        machine_.fail({"it is in no folder of download.allow_folders", true});
        co_return;
    }
    const auto size = co_await uses_.files.size_of(path);
    if (!size) {
        machine_.fail({"it cannot be read: " + size.error().message(), true});
        co_return;
    }
    const auto id = machine_.join(uses_.time.now());
    machine_.next(id, uses_.time.now());
    core::reply_facts whole;
    whole.status = 200;
    whole.length = *size;
    machine_.on_reply(id, whole, uses_.time.now(), 0);
    if (!over())
        co_await open_file();
    for (std::uint64_t at = 0; !over();) {
        const auto piece = co_await uses_.files.read(path, at, piece_size);
        if (!piece || piece->empty()) {
            machine_.fail({"it cannot be read to its end: " +
                           (piece ? std::string("it is shorter now") : piece.error().message())});
            break;
        }
        const auto ec = co_await writer_->append(*piece);
        if (ec)
            failed(
                {"it cannot be written to " + order_.folder.string() + ": " + ec.message(), false});
        at += machine_.on_bytes(id, piece->size(), uses_.time.now());
        tick();
        const bool ending = co_await net::cancelled();
        stopping_ = ending || order_.stop.stop_requested();
    }
    tick();
}

} // namespace gateway::work
