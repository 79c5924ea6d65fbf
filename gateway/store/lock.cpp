#include "store/lock.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <stdexcept>

namespace gateway::store {

namespace {

constexpr std::size_t instance_digits = 16;

[[noreturn]] void refuse(const std::filesystem::path& folder, const std::string& what,
                         const std::string& advice)
{
    throw std::runtime_error("cannot use the data directory " + folder.string() + ": " + what +
                             "; " + advice);
}

std::string pid_in(file_system& fs, const std::filesystem::path& file)
{
    const auto text = read_small(fs, file);
    if (!text || text->empty())
        return "another process";
    return "process " + text->substr(0, text->find('\n'));
}

bool is_instance(const std::string& text)
{
    constexpr auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    return text.size() == instance_digits && std::all_of(text.begin(), text.end(), is_hex);
}

std::string new_instance()
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::random_device random;
    std::string text;
    while (text.size() < instance_digits)
        text += digits[random() % digits.size()];
    return text;
}

std::filesystem::path lock_in(const std::filesystem::path& folder) { return folder / "lock"; }

// The pid in the file is for people; the lock is the kernel's, so none is left behind.
void hold(const open_file& lock, const std::filesystem::path& folder, file_system& fs)
{
    const auto taken = fs.lock(lock.fd(), true);
    if (taken == boost::system::errc::operation_would_block)
        refuse(folder, pid_in(fs, lock_in(folder)) + " is using it",
               "stop that one, or give another directory with --data-dir");
    if (taken)
        refuse(folder, "it cannot be locked (" + taken.message() + ")",
               "give one on a local disk with --data-dir");
}

} // namespace

open_file hold_quietly(const std::filesystem::path& folder, file_system& fs)
{
    auto lock = open_in(fs, lock_in(folder), O_RDONLY);
    if (!lock && lock.error() == boost::system::errc::no_such_file_or_directory)
        return {};
    if (!lock)
        refuse(folder, "its lock file cannot be opened (" + lock.error().message() + ")",
               "ask as the user that the gateway runs as");
    hold(*lock, folder, fs);
    return std::move(*lock);
}

data_dir::data_dir(std::filesystem::path folder, file_system& fs)
    : folder_(std::filesystem::absolute(folder)), fs_(fs)
{
    const auto ec = fs_.make_folders(folder_);
    if (ec)
        refuse(folder_, "it cannot be created (" + ec.message() + ")",
               "give another one with --data-dir, or make it writable for this user");
    take_lock();
    read_instance();
}

void data_dir::take_lock()
{
    auto lock = open_in(fs_, lock_in(folder_), O_RDWR | O_CREAT);
    if (!lock)
        refuse(folder_, "its lock file cannot be opened (" + lock.error().message() + ")",
               "give another one with --data-dir, or make it writable for this user");
    hold(*lock, folder_, fs_);
    auto ec = fs_.truncate(lock->fd(), 0);
    if (!ec)
        ec = lock->write_all(std::to_string(::getpid()) + "\n", 0);
    if (ec)
        refuse(folder_, "its lock file cannot be written (" + ec.message() + ")",
               "make room, or give another one with --data-dir");
    lock_ = std::move(*lock);
}

// A file that a crash has left short or filled with zeros is as good as none.
void data_dir::read_instance()
{
    const auto file = folder_ / "instance-id";
    const auto text = read_small(fs_, file);
    if (text && is_instance(text->substr(0, text->find('\n')))) {
        instance_ = text->substr(0, instance_digits);
        return;
    }
    instance_ = new_instance();
    const auto ec = replace_small(fs_, file, instance_ + "\n");
    if (ec)
        refuse(folder_, "instance-id cannot be written (" + ec.message() + ")",
               "make room, or give another one with --data-dir");
}

} // namespace gateway::store
