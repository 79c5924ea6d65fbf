#include "store/ballast.hpp"

#include <fcntl.h>

#include <algorithm>

namespace gateway::store {

ballast::ballast(file_system& fs, std::filesystem::path file, std::uint64_t size)
    : fs_(fs), file_(std::move(file)), size_(size)
{
    const auto found = fs_.stat(file_);
    in_place_ = size_ == 0 || (found && found->size == size_);
    restore();
}

bool ballast::release()
{
    if (!in_place_ || size_ == 0)
        return false;
    in_place_ = false;
    return !fs_.remove(file_);
}

void ballast::restore()
{
    if (in_place_)
        return;
    const auto spare = fs_.free_bytes(folder_of(file_));
    if (!spare || *spare < 2 * size_)
        return;
    in_place_ = !fill();
    if (!in_place_)
        fs_.remove(file_);
}

error_code ballast::fill()
{
    auto out = open_in(fs_, file_, O_WRONLY | O_CREAT | O_TRUNC);
    if (!out)
        return out.error();
    const auto ec = fs_.allocate(out->fd(), size_);
    if (ec != boost::system::errc::operation_not_supported)
        return ec;
    const std::string zeros(std::min<std::uint64_t>(size_, 256 * 1024), '\0');
    for (std::uint64_t at = 0; at < size_; at += zeros.size()) {
        const auto piece = std::min<std::uint64_t>(zeros.size(), size_ - at);
        const auto failed = out->write_all(std::string_view(zeros).substr(0, piece), at);
        if (failed)
            return failed;
    }
    return {};
}

} // namespace gateway::store
