#include "tools/simulator/run_log.hpp"

#include "base/text.hpp"

#include <fcntl.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace gateway::tools::simulator {

std::string short_hash(std::string_view text)
{
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    return hex(std::string_view(reinterpret_cast<const char*>(digest.data()), 8));
}

run_log::run_log(const std::string& path, net::time_source& time) : time_(time)
{
    if (path.empty())
        return;
    file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file_ < 0)
        throw std::runtime_error("cannot open the run log " + path + ": " + std::strerror(errno));
}

run_log::~run_log()
{
    if (file_ >= 0)
        ::close(file_);
}

void run_log::write(std::string_view event, json::object more)
{
    if (file_ < 0)
        return;
    json::object line{{"event", event},
                      {"time", static_cast<double>(time_.wall().time_since_epoch().count()) / 1000},
                      {"pid", ::getpid()}};
    for (auto& [key, value] : more)
        line[key] = std::move(value);
    const auto text = dump_compact(line) + "\n";
    // A log that cannot be written must not change what the simulator does.
    [[maybe_unused]] const auto written = ::write(file_, text.data(), text.size());
}

std::uint64_t run_log::begin(std::string_view what, std::string_view prompt, std::int64_t seed,
                             std::string_view model)
{
    running_ = ++begun_;
    write("begin", {{"n", begun_},
                    {"what", what},
                    {"prompt_hash", short_hash(prompt)},
                    {"seed", seed},
                    {"model", model}});
    return begun_;
}

void run_log::end(std::uint64_t number, std::string_view outcome, int steps, std::size_t images)
{
    if (number == 0 || running_ != number)
        return;
    running_ = 0;
    write("end", {{"n", number}, {"outcome", outcome}, {"steps", steps}, {"images", images}});
}

void run_log::reply(std::uint64_t number, std::string_view body)
{
    if (file_ < 0 || number == 0)
        return;
    write("reply", {{"n", number}, {"bytes", body.size()}, {"hash", short_hash(body)}});
}

void run_log::close(std::string_view reason)
{
    if (running_ != 0)
        end(running_, "killed", 0, 0);
    write("stop", {{"reason", reason}});
}

} // namespace gateway::tools::simulator
